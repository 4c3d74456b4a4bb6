/// Makes the debug text of events and effects short enough to read.
pub fn render(text: &str) -> String {
    let mut text = cut_app(text);
    for node in 1..=9 {
        text = text
            .replace(&format!("NodeId {{ host: \"n{node}\", port: 34801 }}"), &format!("n{node}"));
    }
    for name in ["Decree", "Ballot", "Tick"] {
        text = unwrap_number(&text, name);
    }
    text.replace("max_replica_count: 3, ", "").replace("PartitionId ", "")
}

/// Replaces the description of a table, which never matters here.
fn cut_app(text: &str) -> String {
    let mut rest = text;
    let mut short = String::new();
    while let Some(start) = rest.find("AppInfo {") {
        short.push_str(&rest[..start]);
        short.push_str("app");
        let end = rest[start..].find("atomic_idempotent: ").map_or(rest.len(), |i| {
            let tail = &rest[start + i..];
            start + i + tail.find('}').map_or(tail.len(), |j| j + 1)
        });
        rest = &rest[end..];
    }
    short.push_str(rest);
    short
}

fn unwrap_number(text: &str, name: &str) -> String {
    let mut rest = text;
    let mut short = String::new();
    let open = format!("{name}(");
    while let Some(start) = rest.find(&open) {
        short.push_str(&rest[..start]);
        let inner = &rest[start + open.len()..];
        let end = inner.find(')').unwrap_or(inner.len());
        short.push_str(&inner[..end]);
        rest = inner.get(end + 1..).unwrap_or("");
    }
    short.push_str(rest);
    short
}

#[cfg(test)]
mod tests {
    use pegasus_types::{Ballot, Decree};

    use super::*;
    use crate::server::node_id;

    #[test]
    fn short_names() {
        let text = render(&format!("{:?}", (node_id(0), Decree(5), Ballot(7))));
        assert_eq!(text, "(n1, 5, 7)");
    }
}
