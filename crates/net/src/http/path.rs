use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The same address with its path percent-decoded and without empty segments, as the reference
/// looks paths up (`spec/admin.md` 5.1); None if it is in that form already or cannot be.
pub(super) fn normalise(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let clean =
        !path.contains("//") && !path.contains('%') && (path == "/" || !path.ends_with('/'));
    if clean {
        return None;
    }
    let decoded = percent_decode(path)?;
    let mut wanted = String::with_capacity(decoded.len() + 1);
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        wanted.push('/');
        segment.bytes().for_each(|byte| push_encoded(&mut wanted, byte));
    }
    if wanted.is_empty() {
        wanted.push('/');
    }
    if let Some(query) = uri.query() {
        wanted.push('?');
        wanted.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(wanted).ok()?);
    Uri::from_parts(parts).ok()
}

/// `%41` -> `A`; a stray `%` stays as it is. None if the result is not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = (byte == b'%').then(|| (hex(bytes.get(at + 1)), hex(bytes.get(at + 2))));
        match pair {
            Some((Some(high), Some(low))) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(byte));
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

fn push_encoded(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_looked_up_without_empty_segments() {
        let cases = [
            ("//meta///app/?name=a%20b", "/meta/app?name=a%20b"),
            ("/m%65ta/app", "/meta/app"),
            ("///", "/"),
            ("/a%20b/", "/a%20b"),
            ("/100%/x%zz", "/100%25/x%25zz"),
        ];
        for (from, to) in cases {
            let uri = normalise(&from.parse().unwrap()).unwrap();
            assert_eq!(uri.to_string(), to);
        }
        assert_eq!(normalise(&"/meta/app?x=//".parse().unwrap()), None);
        assert_eq!(normalise(&"/".parse().unwrap()), None);
    }
}
