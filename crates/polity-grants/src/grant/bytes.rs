//! Sealed bytes as base64 text, in stores that keep a grant as JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
pub(super) fn serialize<S: Serializer>(sealed: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    sealed.as_ref().map(|bytes| STANDARD_NO_PAD.encode(bytes)).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let decode = |text: String| {
        STANDARD_NO_PAD
            .decode(text)
            .map_err(|_| D::Error::custom("sealed bytes are no base64"))
    };
    text.map(decode).transpose()
}
