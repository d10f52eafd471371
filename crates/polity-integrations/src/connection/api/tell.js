const end = document.getElementById("end");
if (window.opener && end.dataset.opener) {
  const said = { type: "polity.connection", connection_id: end.dataset.connection, status: end.dataset.status };
  window.opener.postMessage(said, end.dataset.opener);
  window.close();
}
