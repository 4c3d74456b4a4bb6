use pegasus_types::NodeId;

/// What a bare number of a key means, and which suffixes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Percent,
    Bytes,
    Megabytes,
    Nanoseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
}

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bool,
    /// Bounds are inclusive and in the key's unit.
    Int {
        min: i128,
        max: i128,
        unit: Unit,
    },
    Double {
        min: f64,
        max: f64,
    },
    Text,
    /// Exactly one of these words.
    OneOf(&'static [&'static str]),
    /// `LOG_LEVEL_*`, a level name, or a whole `tracing` filter.
    LogLevel,
    /// `none`, `snappy`, `lz4`, `zstd`, or `per_level:` and a list of them.
    Compression,
    /// `host:port,host:port`.
    Nodes,
    /// TCP ports, comma separated.
    Ports,
}

impl Kind {
    /// The value in its one canonical spelling (`true`, decimal digits, trimmed list), which the
    /// typed sections are read from; or what would have been right.
    pub fn canonical(&self, text: &str) -> Result<String, String> {
        match *self {
            Kind::Text => Ok(text.to_owned()),
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => Ok(word.to_owned()),
                _ => Err("true or false".to_owned()),
            },
            Kind::Int { min, max, unit } => integer(text, unit)
                .filter(|n| (min..=max).contains(n))
                .map(|n| n.to_string())
                .ok_or_else(|| expected_integer(min, max, unit)),
            Kind::Double { min, max } => match text.parse::<f64>() {
                Ok(n) if n.is_finite() && (min..=max).contains(&n) => Ok(n.to_string()),
                _ => Err(format!("a number from {min} to {max}")),
            },
            Kind::OneOf(words) => match words.contains(&text) {
                true => Ok(text.to_owned()),
                false => Err(format!("one of {}", words.join(", "))),
            },
            Kind::LogLevel => log_level(text),
            Kind::Compression => compression(text),
            Kind::Nodes => nodes(text)
                .map(|list| list.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")),
            Kind::Ports => ports(text),
        }
    }
}

/// The items of a comma list: trimmed, empty ones dropped (spec config 1.1).
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A list of `host:port`. Host names stay names; they are resolved when a connection is made.
pub(crate) fn nodes(text: &str) -> Result<Vec<NodeId>, String> {
    let mut list: Vec<NodeId> = Vec::new();
    for item in items(text) {
        let node: NodeId =
            item.parse().map_err(|_| format!("HOST:PORT,HOST:PORT,..., not \"{item}\""))?;
        if node.host().contains(':') {
            return Err(format!("a host name or an IPv4 address, not \"{}\"", node.host()));
        }
        if list.contains(&node) {
            return Err(format!("each server once; {node} is there twice"));
        }
        list.push(node);
    }
    Ok(list)
}

fn ports(text: &str) -> Result<String, String> {
    let expected = || "a port from 1 to 65535".to_owned();
    let list: Vec<String> = items(text).map(str::to_owned).collect();
    let good = |port: &String| port.parse::<u16>().is_ok_and(|p| p > 0);
    if list.is_empty() || !list.iter().all(good) { Err(expected()) } else { Ok(list.join(",")) }
}

fn log_level(text: &str) -> Result<String, String> {
    let name = match text {
        "LOG_LEVEL_DEBUG" => "debug",
        "LOG_LEVEL_INFO" => "info",
        "LOG_LEVEL_WARNING" => "warn",
        "LOG_LEVEL_ERROR" | "LOG_LEVEL_FATAL" => "error",
        "trace" | "debug" | "info" | "warn" | "error" | "off" => text,
        filter if filter.contains('=') => filter,
        _ => {
            return Err("LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR, \
                        LOG_LEVEL_FATAL, or a filter such as info,pegasus_meta=debug"
                .to_owned());
        }
    };
    Ok(name.to_owned())
}

fn compression(text: &str) -> Result<String, String> {
    const TYPES: [&str; 4] = ["none", "snappy", "lz4", "zstd"];
    let list = text.strip_prefix("per_level:");
    let names: Vec<&str> = list.unwrap_or(text).split(',').map(str::trim).collect();
    let one_too_many = list.is_none() && names.len() != 1;
    if one_too_many || !names.iter().all(|name| TYPES.contains(name)) {
        return Err("none, snappy, lz4, zstd, or per_level:TYPE,TYPE,...".to_owned());
    }
    let prefix = if list.is_some() { "per_level:" } else { "" };
    Ok(format!("{prefix}{}", names.join(",")))
}

/// Decimal or 0x hexadecimal, optionally with a unit that comes out whole in the key's own unit.
/// A leading zero is refused: the reference reads it as octal, and nobody means that.
fn integer(text: &str, unit: Unit) -> Option<i128> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            i128::from_str_radix(hex, 16).ok()?
        }
        Some(_) => return None,
        None => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, suffix) = rest.split_at(end);
            if digits.len() > 1 && digits.starts_with('0') {
                return None;
            }
            scaled(digits.parse().ok()?, suffix.trim(), unit)?
        }
    };
    Some(if negative { number.checked_neg()? } else { number })
}

fn scaled(number: i128, suffix: &str, unit: Unit) -> Option<i128> {
    if suffix.is_empty() {
        return Some(number);
    }
    let (own, scale) = match unit {
        Unit::None => return None,
        Unit::Percent => return (suffix == "%").then_some(number),
        Unit::Bytes => (1, size_of(suffix)?),
        Unit::Megabytes => (1 << 20, size_of(suffix)?),
        _ => (time_of(unit)?, time_named(suffix)?),
    };
    let total = number.checked_mul(scale)?;
    (total % own == 0).then_some(total / own)
}

fn size_of(suffix: &str) -> Option<i128> {
    match suffix.to_ascii_lowercase().as_str() {
        "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1 << 30),
        "t" | "tb" | "tib" => Some(1 << 40),
        _ => None,
    }
}

/// Nanoseconds in one of the key's units.
fn time_of(unit: Unit) -> Option<i128> {
    let name = match unit {
        Unit::Nanoseconds => "ns",
        Unit::Milliseconds => "ms",
        Unit::Seconds => "s",
        Unit::Minutes => "min",
        Unit::Hours => "h",
        Unit::Days => "d",
        Unit::None | Unit::Percent | Unit::Bytes | Unit::Megabytes => return None,
    };
    time_named(name)
}

fn time_named(suffix: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    match suffix {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(SECOND),
        "min" => Some(60 * SECOND),
        "h" => Some(3_600 * SECOND),
        "d" => Some(86_400 * SECOND),
        _ => None,
    }
}

fn expected_integer(min: i128, max: i128, unit: Unit) -> String {
    let what = match unit {
        Unit::None => "a whole number",
        Unit::Percent => "a percentage",
        Unit::Bytes => "bytes or a size such as 64MB",
        Unit::Megabytes => "megabytes or a size such as 1GB",
        Unit::Nanoseconds => "nanoseconds or a time such as 100ms",
        Unit::Milliseconds => "milliseconds or a time such as 30s",
        Unit::Seconds => "seconds or a time such as 10min",
        Unit::Minutes => "minutes or a time such as 2h",
        Unit::Hours => "hours or a time such as 1d",
        Unit::Days => "days",
    };
    if max >= i128::from(i64::MAX) {
        format!("{what}, at least {min}")
    } else {
        format!("{what}, from {min} to {max}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn int(unit: Unit) -> Kind {
        Kind::Int { min: -1, max: i128::from(i64::MAX), unit }
    }

    #[test]
    fn integers() {
        for (text, unit, expected) in [
            ("10", Unit::None, Some("10")),
            ("0x10", Unit::None, Some("16")),
            ("-1", Unit::None, Some("-1")),
            ("0", Unit::None, Some("0")),
            ("010", Unit::None, None),
            ("-2", Unit::None, None),
            ("10k", Unit::None, None),
            ("", Unit::None, None),
            ("0x", Unit::None, None),
            ("99999999999999999999999999999999999999999", Unit::None, None),
            ("64MB", Unit::Bytes, Some("67108864")),
            ("1 GiB", Unit::Megabytes, Some("1024")),
            ("1KB", Unit::Megabytes, None),
            ("30s", Unit::Milliseconds, Some("30000")),
            ("100ms", Unit::Nanoseconds, Some("100000000")),
            ("1500ms", Unit::Seconds, None),
            ("10%", Unit::Percent, Some("10")),
        ] {
            assert_eq!(int(unit).canonical(text).ok().as_deref(), expected, "{text} {unit:?}");
        }
    }

    #[test]
    fn other_kinds() {
        assert_eq!(Kind::Bool.canonical("TRUE").unwrap(), "true");
        assert!(Kind::Bool.canonical("yes").is_err());
        assert_eq!(Kind::Nodes.canonical(" a:1 , b.c:2,").unwrap(), "a:1,b.c:2");
        assert!(Kind::Nodes.canonical("a:1,a:1").is_err());
        assert!(Kind::Nodes.canonical("a").is_err());
        assert!(Kind::Nodes.canonical("[::1]:80").is_err());
        assert_eq!(Kind::Ports.canonical("34601, 34602").unwrap(), "34601,34602");
        assert!(Kind::Ports.canonical("0").is_err());
        assert_eq!(Kind::LogLevel.canonical("LOG_LEVEL_WARNING").unwrap(), "warn");
        assert!(Kind::LogLevel.canonical("LOG_LEVEL_WARN").is_err());
        assert_eq!(
            Kind::Compression.canonical("per_level:none, zstd").unwrap(),
            "per_level:none,zstd"
        );
        assert!(Kind::Compression.canonical("gzip").is_err());
        assert!(Kind::Double { min: 0.0, max: 10.0 }.canonical("nan").is_err());
    }
}
