"""Credentials of the caller, and checks of what every answer has in common (docs/API-DESIGN.md).

What a request uses up is made for it, with the service credential: what the placeholder FRESH stands for, which the
dictionaries of run.py put where an id, a code or a token belongs, and whoever an operation signs out or closes the
account of. Otherwise the run would sign itself out and see nothing but 401 from then on.
"""

import base64
import itertools
import json
import os
import re
from functools import cached_property
from pathlib import Path

import requests
import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

RUN = json.loads(os.environ["POLITY_SCHEMA"])
CALLER, ADA, ROOT, TOKEN = (RUN[name] for name in ("caller", "ada", "root", "token"))
ORGANIZATION = RUN["organization"]
FRESH, PASSWORD = RUN["fresh"], RUN["password"]
SERVICE = {"X-Internal-Service": "true", "X-Internal-Service-Secret": RUN["secret"]}
LASTING = {ADA["user_id"], ROOT["user_id"]}
# Operations that end a session or close an account.
ENDS = {
    "account.admin_roles",
    "account.admin_status",
    "account.delete_profile",
    "account.erase",
    "account.set_status",
    "account.update_profile",
    "auth.change_password",
    "auth.end_session",
    "auth.end_sessions",
    "auth.logout",
}
# Operations after which an organization, or Ada in it, is not what it was.
CHANGES = {
    "organization.delete",
    "organization.remove_member",
    "organization.transfer",
    "organization.update",
    "organization.update_member",
}
# What an operation may refuse of what fits the schema: one field decides about another.
RULES = {
    "authorization.assign_role": r"/organization_id",
    "authorization.bulk_grant": r"/operations/\d+/(access_level|permission_source|expires_at)",
    "authorization.bulk_revoke": r"/operations/\d+/(access_level|permission_source|expires_at)",
    # Addresses, the catalogue, and what may be told to whom.
    "connection.admin_add_app": r"/(provider|redirect_uri|icon_url|documentation_url|required_scopes.*)",
    "connection.admin_update_app": r"/(redirect_uri|icon_url|documentation_url|required_scopes.*)",
    "connection.begin": r"/(return_to|opener)",
    "connection.reconnect": r"/(return_to|opener)",
    "connection.callback": r"/code",
    "connection.proxy": r"/(url|headers|json|base64)",
    "consent.grant": r"/(granted_permissions|shown_at)",
    # What an archive is, is in docs/decisions/0011.
    "organization.import": r".*",
    # Some levels are for albums only.
    "organization.create_sharing": r"/(default_permission|custom_permissions.*)",
    "organization.grant_sharing": r"/permission_level",
    "organization.update_sharing": r"/(default_permission|custom_permissions.*)",
    "organization.sharing_usage": r"/period_start",
}
numbers = itertools.count()
answered = set()


def send(method: str, path: str, body: dict | None = None, more: dict | None = None) -> dict:
    answer = requests.request(method, RUN["url"] + path, json=body, headers=SERVICE | (more or {}), timeout=30)
    answer.raise_for_status()
    return answer.json()


class Stranger:
    """Somebody whom nothing else in the run is about."""

    def __init__(self) -> None:
        self.email = f"person{next(numbers)}@example.com"

    @cached_property
    def pending(self) -> str:
        body = {"email": self.email, "password": PASSWORD, "name": "Somebody"}
        return send("POST", "/api/v1/auth/register", body)["pending_registration_id"]

    @cached_property
    def code(self) -> str:
        return send("GET", f"/api/v1/auth/dev/pending-registration/{self.pending}")["verification_code"]

    @cached_property
    def session(self) -> dict:
        body = {"pending_registration_id": self.pending, "code": self.code}
        return send("POST", "/api/v1/auth/verify", body)

    @property
    def session_id(self) -> str:
        claims = self.session["access_token"].split(".")[1]
        return json.loads(base64.urlsafe_b64decode(claims + "=="))["sid"]

    def value(self, name: str) -> str:
        """What belongs into the field of this name."""
        match name:
            case "user_id" | "access_token" | "refresh_token":
                return self.session[name]
            case "session_id" | "code" | "email":
                return getattr(self, name)
            case "invitation_token":
                return new_invitation()["invitation_token"]
            case "pending_registration_id":
                # So that both fields of a request, in either order, are about the same registration.
                return self.pending
        # Another field in which the word was tried, too.
        return FRESH


def new_credential(case) -> str:
    """The id of something new of Ada's, of the kind the operation is about; or an invitation's token."""
    if operation_id(case).startswith("connection."):
        return new_connection(operation_id(case))
    if operation_id(case).startswith("consent."):
        return new_consent()["id"]
    if operation_id(case).startswith("invitation."):
        return new_invitation()["invitation_token" if operation_id(case) == "invitation.look" else "invitation_id"]
    if operation_id(case).startswith("auth."):
        return send("POST", "/api/v1/auth/api-keys", {"organization_id": ADA["user_id"], "name": "fresh"})["key_id"]
    return send("POST", "/api/v1/integration/tokens", {"name": "fresh"}, {"X-User-Id": ADA["user_id"]})["id"]


def new_connection(operation: str) -> str:
    """A new app, or a connection with it that waits for a browser."""
    if "app" in operation:
        body = {"name": f"app-{next(numbers)}", "provider": "github", "client_id": "schema"}
        return send("POST", "/api/v1/integration/admin/oauth-apps", body)["id"]
    body = {"oauth_app_id": "github"}
    return send("POST", "/api/v1/integration/oauth/connections", body, {"X-User-Id": ADA["user_id"]})["id"]


def new_consent() -> dict:
    """A consent of Ada's to something that nothing else is about."""
    thing = {"purpose": "analytics", "subject_kind": "plugin_installation", "entity_type": "plugin"}
    text = {"description": "Count clicks", "requested_permissions": ["read:clicks"], "granted_permissions": ["read:clicks"]}
    body = thing | text | {"entity_id": f"plugin {next(numbers)}"}
    return send("POST", "/api/v1/integration/consents", body, {"X-User-Id": ADA["user_id"]})


def new_organization(owner: dict) -> str:
    """An organization that nothing else is about."""
    body = {"name": f"Organization {next(numbers)}", "billing_email": "root@example.com"}
    return send("POST", "/api/v1/organizations", body, {"X-User-Id": owner["user_id"]})["organization_id"]


def new_invitation() -> dict:
    """An invitation of Ada's to an organization that nothing else is about."""
    path = f"/api/v1/invitations/organizations/{new_organization(ROOT)}"
    return send("POST", path, {"email": "ada@example.com"})


def new_sharing() -> str:
    """Something of Ada's organization that is shared with all its members."""
    path = f"/api/v1/organization/organizations/{ORGANIZATION}/sharing"
    body = {"resource_type": "album", "resource_id": f"thing {next(numbers)}", "share_with_all_members": True}
    return send("POST", path, body, {"X-User-Id": ADA["user_id"]})["sharing_id"]


def own_organization(case) -> None:
    """Ada's organization outlives the run, and its things are in it and in no other."""
    parameters = case.path_parameters or {}
    if parameters.get("organization_id") == ORGANIZATION and operation_id(case) in CHANGES:
        parameters["organization_id"] = new_organization(ADA)
        if "user_id" in parameters:
            path = f"/api/v1/organization/organizations/{parameters['organization_id']}/members"
            send("POST", path, {"user_id": ROOT["user_id"]})
    if parameters.get("sharing_id") == FRESH:
        parameters |= {"organization_id": ORGANIZATION, "sharing_id": new_sharing()}


def aim(body: dict, values: dict) -> None:
    """Puts in what can succeed where the request has something that fits; what is wrong with it stays wrong."""
    for name, value in values.items():
        said = body.get(name)
        if isinstance(said, str) and said.strip() and len(said) <= 64:
            body[name] = value


def permit(body: dict) -> None:
    """What a request takes, Ada has."""
    has = {"user_id": ADA["user_id"], "resource_name": "engine", "organization_id": ORGANIZATION}
    aim(body, has)
    grant = {name: body.get(name) for name in ("resource_type", *has)}
    grant |= {"access_level": "read_only", "permission_source": body.get("permission_source") or "admin_grant"}
    # Refused where the request is to be.
    requests.post(RUN["url"] + "/api/v1/authorization/grant", json=grant, headers=SERVICE, timeout=30)


def assign(body: dict) -> None:
    """The owner of an organization makes somebody else in it a member."""
    roles = {"assigner_role": "owner", "assignee_role": "member", "scope": "organization"}
    people = {"assigner_user_id": ADA["user_id"], "assignee_user_id": ROOT["user_id"]}
    aim(body, roles | people | {"organization_id": ORGANIZATION})


# Every other request of these is made one that can succeed: by chance there are hardly any.
AIMED = {"authorization.assign_role": assign, "authorization.revoke": permit}
# The same of what an organization's members may use.
SHARED = {"authorization.delete_organization_permission", "authorization.put_organization_permission"}


def share(parameters: dict) -> None:
    """Members of Ada's organization may use its engine."""
    parameters |= {"organization_id": ORGANIZATION, "resource_type": "mcp_tool", "resource_name": "engine"}
    path = f"/api/v1/authorization/organizations/{ORGANIZATION}/permissions/mcp_tool/engine"
    send("PUT", path, {"access_level": "read_only"})


def operation_id(case) -> str:
    return case.operation.definition.raw.get("operationId", "")


@schemathesis.auth(refresh_interval=None)
class Credential:
    """The caller's credential, and everything else that is made for one request."""

    def get(self, case, context):
        return Stranger()

    def set(self, case, stranger, context):
        ends = operation_id(case) in ENDS
        case.headers.update(self.headers(case, stranger, ends))
        # An ordinary person is to find out that others are out of reach.
        own_organization(case)
        if operation_id(case) in AIMED and isinstance(case.body, dict) and next(numbers) % 2:
            AIMED[operation_id(case)](case.body)
        if operation_id(case) in SHARED and case.path_parameters and next(numbers) % 2:
            share(case.path_parameters)
        closed = {ADA["user_id"]} if CALLER in ("user", "limited") else LASTING
        for name, value in list((case.path_parameters or {}).items()):
            if name == "id":
                if value == FRESH:
                    case.path_parameters[name] = new_credential(case)
            elif value == FRESH or (ends and value in closed):
                case.path_parameters[name] = stranger.value(name)
        if isinstance(case.body, dict) and FRESH in [value for value in case.body.values() if isinstance(value, str)]:
            case.body = {
                name: stranger.value(name) if value == FRESH else value for name, value in case.body.items()
            }

    def headers(self, case, stranger, ends: bool) -> dict:
        own = operation_id(case).startswith("auth.")
        if CALLER == "nobody":
            return {}
        if case.operation.definition.raw.get("x-guard") == "token":
            return {"Authorization": f"Bearer {TOKEN}"}
        if CALLER == "service":
            person = stranger.session if ends and own else ADA
            acts_for = case.operation.definition.raw.get("x-guard") == "user"
            return SERVICE | ({"X-User-Id": person["user_id"]} if acts_for else {})
        if CALLER == "admin" and not (ends and own):
            return {"Authorization": f"Bearer {ROOT['access_token']}"}
        person = stranger.session if ends else ADA
        return {"Authorization": f"Bearer {person['access_token']}"}


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """JSON Lines as they were generated: any text."""
    return {"data": value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")}


@schemathesis.hook
def after_call(context, case, response):
    """Keeps which operations have succeeded, for run.py."""
    operation = operation_id(case)
    # A probe with another method is no success of this one.
    sent = response.request.method == case.operation.method.upper()
    if sent and response.status_code < 300 and operation not in answered:
        answered.add(operation)
        Path(RUN["answered"]).write_text(json.dumps(sorted(answered)))


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Passes over refusals of what fits the schema, where a rule stands that no schema can say."""
    if CALLER == "limited" and "429" in getattr(failure, "message", ""):
        # Whoever asks too often hears that first, whatever the credential.
        return False
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    body = response.json()
    pointers = {error["pointer"] for error in body.get("errors", [])}
    # The key and the earlier body are the rule; the names of time zones are a database; a format is no more than a note; for
    # JSON Schema 9.0 is an integer, here it is not.
    said = {"/timezone", "/expires_at", "/ip_address", "/start_date", "/credits", "/scopes", "/domain", "/spend_limit"}
    lists = ("/ip_allowlist/", "/allowed_cidrs/", "/permissions/", "/scopes/")
    rule = RULES.get(operation_id(case), "$.")
    beyond = all(one in said or one.startswith(lists) or re.fullmatch(rule, one) for one in pointers)
    whole = all("floating point" in error["msg"] for error in body.get("errors", []))
    return body["code"] != "IDEMPOTENCY_MISMATCH" and not beyond and not whole


def head(response) -> dict:
    return {name.lower(): values[0] for name, values in response.headers.items()}


@schemathesis.check
def problem_conformance(ctx, response, case):
    """Errors are problems that agree with their own head."""
    if response.status_code < 400 or case.operation.definition.raw.get("x-page"):
        return
    body, header = response.json(), head(response)
    assert header["content-type"] == "application/problem+json", header["content-type"]
    assert body["status"] == response.status_code, f"the problem says {body['status']}"
    assert body["request_id"] == header.get("x-request-id"), "the request id differs"
    if body["code"] in ("VALIDATION_FAILED", "MALFORMED_JSON"):
        assert body.get("errors"), "nothing says what is wrong, and where"
    wanted = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}.get(response.status_code)
    assert wanted is None or wanted in header, f"no {wanted}"


@schemathesis.check
def hardening(ctx, response, case):
    """Headers that every answer carries."""
    header = head(response)
    names = ["x-request-id", "cache-control", "x-content-type-options", "x-frame-options", "content-security-policy"]
    assert not set(names) - set(header), f"no {', '.join(set(names) - set(header))}"
