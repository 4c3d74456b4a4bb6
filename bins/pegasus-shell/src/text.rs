//! How bytes are typed and shown: the quoting and escaping rules of `spec/admin.md` 1.1 and 1.8.

use std::fmt::Write;

/// Why a line cannot be split into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("a quote is not closed")]
    Unclosed,
    #[error("a closing quote must be followed by a space")]
    Glued,
}

/// Splits a line into words, which may hold any bytes. `"..."` understands `\n \r \t \b \a`,
/// `\xHH` and `\c` for any other c; in `'...'` only `\'` is special.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, SplitError> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        rest = rest.get(blank..).unwrap_or_default();
        let (word, after) = match rest.first() {
            None => return Ok(words),
            Some(b'"') => quoted(rest.get(1..).unwrap_or_default(), b'"')?,
            Some(b'\'') => quoted(rest.get(1..).unwrap_or_default(), b'\'')?,
            Some(_) => bare(rest)?,
        };
        words.push(word);
        rest = after;
    }
}

/// A word without a quote at its start; a quote later on opens a quoted part of the same word.
fn bare(text: &[u8]) -> Result<(Vec<u8>, &[u8]), SplitError> {
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || b"\"'".contains(byte));
    let end = end.unwrap_or(text.len());
    let (head, after) = text.split_at(end);
    let mut word = head.to_vec();
    match after.first() {
        Some(&quote @ (b'"' | b'\'')) => {
            let (tail, after) = quoted(after.get(1..).unwrap_or_default(), quote)?;
            word.extend(tail);
            Ok((word, after))
        }
        _ => Ok((word, after)),
    }
}

fn quoted(text: &[u8], quote: u8) -> Result<(Vec<u8>, &[u8]), SplitError> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return Err(SplitError::Unclosed),
            [b'\\', after @ ..] if quote == b'"' => {
                let (byte, after) = unescape(after).ok_or(SplitError::Unclosed)?;
                word.push(byte);
                rest = after;
            }
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [byte, after @ ..] if *byte == quote => {
                return match after.first() {
                    Some(next) if !next.is_ascii_whitespace() => Err(SplitError::Glued),
                    _ => Ok((word, after)),
                };
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// What follows a backslash.
fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    if let [b'x', high, low, after @ ..] = text
        && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
    {
        return Some((high << 4 | low, after));
    }
    let (byte, after) = text.split_first()?;
    let byte = match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => *other,
    };
    Some((byte, after))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Cuts a `-c` argument into commands at every `;` that stands outside quotes and ends a word.
pub fn split_commands(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut commands = Vec::new();
    let (mut start, mut at, mut quote) = (0, 0, None);
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(b'\''), b'\\') if bytes.get(at + 1) == Some(&b'\'') => at += 1,
            (Some(open), _) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b';') if bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace) => {
                commands.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    commands.push(text.get(start..).unwrap_or_default());
    commands.retain(|command| !command.trim().is_empty());
    commands
}

/// Shows bytes as the C shell does: `\n \r \t \" \' \\`, everything else unprintable as `\xHH`;
/// with `all` every byte is shown as `\xHH`.
pub fn escape(bytes: &[u8], all: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            _ if all => push_hex(&mut text, byte),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'"' | b'\'' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => push_hex(&mut text, byte),
        }
    }
    text
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{byte:02X}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        split(line.as_bytes()).unwrap()
    }

    #[test]
    fn bare_words_and_quotes() {
        assert_eq!(words("  get  h\ts \n"), [b"get", b"h".as_slice(), b"s"]);
        assert_eq!(words(r#"set "a b" 'c d' """#), [b"set", b"a b".as_slice(), b"c d", b""]);
        assert_eq!(words(r"'it\'s' '\n'"), [b"it's".as_slice(), b"\\n"]);
        assert_eq!(words("a;b ; c"), [b"a;b".as_slice(), b";", b"c"]);
        assert!(words("   ").is_empty());
    }

    #[test]
    fn escapes_in_double_quotes() {
        assert_eq!(words(r#""\x00\xfF\n\t\\\"\q\xZ""#), [b"\x00\xff\n\t\\\"qxZ".as_slice()]);
        assert_eq!(words(r"\x00"), [b"\\x00".as_slice()], "bare words are taken as they are");
        assert_eq!(words(r#"--x="a b""#), [b"--x=a b".as_slice()]);
    }

    #[test]
    fn unbalanced_lines_are_refused() {
        assert_eq!(split(b"get \"a"), Err(SplitError::Unclosed));
        assert_eq!(split(b"get 'a"), Err(SplitError::Unclosed));
        assert_eq!(split(b"get \"a\\"), Err(SplitError::Unclosed));
        assert_eq!(split(b"get \"a\"b"), Err(SplitError::Glued));
    }

    #[test]
    fn commands_end_at_semicolons_outside_words() {
        assert_eq!(split_commands("use temp; set a b c"), ["use temp", " set a b c"]);
        assert_eq!(split_commands("set a b c;d"), ["set a b c;d"]);
        assert_eq!(split_commands(r#"set a "x; \"; y" ; ls;"#), [r#"set a "x; \"; y" "#, " ls"]);
        assert_eq!(split_commands(r"get 'a\'; b' c"), [r"get 'a\'; b' c"]);
        assert!(split_commands(" ; ").is_empty());
    }

    #[test]
    fn shown_bytes_can_be_typed_again() {
        let all: Vec<u8> = (0..=255).collect();
        for shown in [escape(&all, false), escape(&all, true)] {
            assert_eq!(words(&format!("\"{shown}\"")), [all.as_slice()]);
        }
        assert_eq!(escape(b"a\"\n\x00\xff", false), "a\\\"\\n\\x00\\xFF");
        assert_eq!(escape(b"a", true), "\\x61");
    }
}
