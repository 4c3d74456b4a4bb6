//! Options of one command, in the union of the two flavours of `spec/admin.md` 1.1.

use std::collections::BTreeMap;

/// One option a command knows.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub short: char,
    pub long: &'static str,
    /// Whether a value belongs to it.
    pub takes_value: bool,
}

pub const fn switch(short: char, long: &'static str) -> Flag {
    Flag { short, long, takes_value: false }
}

pub const fn valued(short: char, long: &'static str) -> Flag {
    Flag { short, long, takes_value: true }
}

/// The words of a command without its name, sorted out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub positional: Vec<Vec<u8>>,
    options: BTreeMap<&'static str, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("unknown option {0}{1}")]
    Unknown(String, String),
    #[error("option --{0} needs a value")]
    MissingValue(&'static str),
    #[error("option --{0} takes no value")]
    NoValue(&'static str),
    #[error("option --{0} may stand for several")]
    Ambiguous(String),
    #[error("option --{option}: \"{value}\" is not {expected}")]
    BadValue { option: &'static str, value: String, expected: String },
}

impl Parsed {
    pub fn has(&self, long: &'static str) -> bool {
        self.options.contains_key(long)
    }

    pub fn text(&self, long: &'static str) -> Option<String> {
        self.options.get(long).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// A number in the given range.
    pub fn number<T>(&self, long: &'static str, at_least: T) -> Result<Option<T>, FlagError>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(value) = self.text(long) else {
            return Ok(None);
        };
        match value.parse::<T>() {
            Ok(number) if number >= at_least => Ok(Some(number)),
            _ => {
                let expected = format!("a number of at least {at_least}");
                Err(FlagError::BadValue { option: long, value, expected })
            }
        }
    }
}

/// `-x`, `-x v`, `-xv`, `--long`, `--long v`, `--long=v`, unambiguous beginnings of long names,
/// `--` to end the options; options may stand anywhere.
pub fn parse(words: &[Vec<u8>], flags: &[Flag]) -> Result<Parsed, FlagError> {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"--" => {
                parsed.positional.extend(words.cloned());
                break;
            }
            [b'-', b'-', long @ ..] => {
                let (name, value) = match long.iter().position(|byte| *byte == b'=') {
                    Some(at) => (long.get(..at), long.get(at + 1..)),
                    None => (Some(long), None),
                };
                let flag = find_long(name.unwrap_or_default(), flags)?;
                let value = match (flag.takes_value, value) {
                    (true, Some(value)) => value.to_vec(),
                    (true, None) => words.next().ok_or(FlagError::MissingValue(flag.long))?.clone(),
                    (false, None) => Vec::new(),
                    (false, Some(_)) => return Err(FlagError::NoValue(flag.long)),
                };
                parsed.options.insert(flag.long, value);
            }
            [b'-', cluster @ ..] if !cluster.is_empty() => {
                parse_cluster(cluster, flags, &mut words, &mut parsed)?;
            }
            _ => parsed.positional.push(word.clone()),
        }
    }
    Ok(parsed)
}

/// `-dj`, `-n5`, `-n 5`.
fn parse_cluster<'a>(
    cluster: &[u8],
    flags: &[Flag],
    words: &mut impl Iterator<Item = &'a Vec<u8>>,
    parsed: &mut Parsed,
) -> Result<(), FlagError> {
    for (at, &letter) in cluster.iter().enumerate() {
        let Some(flag) = flags.iter().find(|flag| flag.short == char::from(letter)) else {
            let shown = format!("-{}", letter.escape_ascii());
            return Err(FlagError::Unknown(shown, String::new()));
        };
        if !flag.takes_value {
            parsed.options.insert(flag.long, Vec::new());
            continue;
        }
        let value = match cluster.get(at + 1..).unwrap_or_default() {
            [] => words.next().ok_or(FlagError::MissingValue(flag.long))?.clone(),
            glued => glued.to_vec(),
        };
        parsed.options.insert(flag.long, value);
        return Ok(());
    }
    Ok(())
}

fn find_long<'a>(name: &[u8], flags: &'a [Flag]) -> Result<&'a Flag, FlagError> {
    if let Some(flag) = flags.iter().find(|flag| flag.long.as_bytes() == name) {
        return Ok(flag);
    }
    let mut matching = flags.iter().filter(|flag| flag.long.as_bytes().starts_with(name));
    let shown = String::from_utf8_lossy(name).into_owned();
    match (matching.next(), matching.next()) {
        (Some(flag), None) => Ok(flag),
        (Some(_), Some(_)) => Err(FlagError::Ambiguous(shown)),
        (None, _) => {
            let hint = nearest(&shown, flags.iter().map(|flag| flag.long))
                .map(|long| format!(", did you mean --{long}?"));
            Err(FlagError::Unknown(format!("--{shown}"), hint.unwrap_or_default()))
        }
    }
}

/// The name that was probably meant, if one is close enough.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.chars().count() / 4).then_some(candidate)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        switch('d', "detailed"),
        switch('j', "json"),
        valued('p', "partition_count"),
        valued('r', "replica_count"),
    ];

    fn parse_line(line: &str) -> Result<Parsed, FlagError> {
        parse(&crate::text::split(line.as_bytes()).unwrap(), FLAGS)
    }

    #[test]
    fn all_forms_of_options() {
        for line in ["t -p 4 -dj", "-p4 t -j -d", "--partition_count=4 -jd t", "--par 4 --d --j t"]
        {
            let parsed = parse_line(line).unwrap();
            assert_eq!(parsed.positional, [b"t"], "{line}");
            assert_eq!(parsed.number("partition_count", 1).unwrap(), Some(4), "{line}");
            assert!(parsed.has("detailed") && parsed.has("json") && !parsed.has("replica_count"));
        }
        assert_eq!(parse_line("-- -d").unwrap().positional, [b"-d"]);
        assert_eq!(parse_line("-").unwrap().positional, [b"-"]);
        assert_eq!(parse_line("-p -1").unwrap().text("partition_count").unwrap(), "-1");
    }

    #[test]
    fn mistakes_are_explained() {
        let text = |line: &str| parse_line(line).unwrap_err().to_string();
        assert_eq!(text("-x"), "unknown option -x");
        assert_eq!(text("--detialed"), "unknown option --detialed, did you mean --detailed?");
        assert_eq!(text("-p"), "option --partition_count needs a value");
        assert_eq!(text("--json=1"), "option --json takes no value");
        let parsed = parse_line("-p x").unwrap();
        assert!(parsed.number("partition_count", 1).is_err());
        assert!(parse_line("-p 0").unwrap().number("partition_count", 1).is_err());
        let both = [switch('a', "all"), switch('b', "allow")];
        let error = parse(&[b"--al".to_vec()], &both).unwrap_err();
        assert_eq!(error, FlagError::Ambiguous("al".to_owned()));
    }

    #[test]
    fn the_nearest_name_is_found() {
        let names = || ["multi_get", "nodes", "ls", "create"].into_iter();
        assert_eq!(nearest("mutli_get", names()), Some("multi_get"));
        assert_eq!(nearest("node", names()), Some("nodes"));
        assert_eq!(nearest("xyzzy", names()), None);
    }
}
