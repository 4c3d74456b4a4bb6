use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use super::path::percent_decode;
use super::respond::bad_request;

/// Why a query string was refused. As a response: 400 with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse request: {0}")]
pub struct BadQuery(String);

impl IntoResponse for BadQuery {
    fn into_response(self) -> Response {
        bad_request(self.to_string())
    }
}

/// The parameters of a request in their order, percent-decoded after splitting; `+` is not a
/// space, a name without `=` has an empty value, and a name given twice is an error
/// (`spec/admin.md` 5.1).
pub fn query(uri: &Uri) -> Result<Vec<(String, String)>, BadQuery> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let decode = |text: &str| {
            percent_decode(text).ok_or_else(|| BadQuery(format!("not UTF-8 text: {part}")))
        };
        let (name, value) = (decode(name)?, decode(value)?);
        if parameters.iter().any(|(known, _)| *known == name) {
            return Err(BadQuery(format!("duplicate parameter: {name}")));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_encoded_separators_and_refuse_repeats() {
        let parse = |text: &str| query(&text.parse().unwrap());
        let pairs = parse("/x?a=1%262&flag&b=c+d&e=").unwrap();
        let expected = [("a", "1&2"), ("flag", ""), ("b", "c+d"), ("e", "")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(parse("/x").unwrap(), []);
        let error = parse("/x?a=1&a=2").unwrap_err();
        assert_eq!(error.to_string(), "failed to parse request: duplicate parameter: a");
    }
}
