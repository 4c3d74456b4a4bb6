//! The table printer of `spec/admin.md` 1.2: scripts cut columns out of it, so its padding is part
//! of the contract.

use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// A table with a title, either with columns or as a list of names and values.
#[derive(Clone, Debug)]
pub struct Table {
    name: String,
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Names and values; an empty `name` prints no title.
    pub fn list(name: &str) -> Table {
        Table { name: name.to_owned(), columns: Vec::new(), rows: Vec::new() }
    }

    pub fn with_columns(name: &str, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|column| ((*column).to_owned(), Align::Left)).collect();
        Table { columns, ..Table::list(name) }
    }

    /// One more column, its cells aligned to the right.
    pub fn add_right_column(&mut self, column: &str) {
        self.columns.push((column.to_owned(), Align::Right));
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn pair(&mut self, name: &str, value: impl ToString) {
        self.rows.push(vec![name.to_owned(), value.to_string()]);
    }

    fn render_list(&self, out: &mut String) {
        let width = |at| {
            self.rows
                .iter()
                .filter_map(|row| row.get(at).map(String::as_str))
                .map(len)
                .max()
                .unwrap_or(0)
        };
        let (names, values) = (width(0) + 2, width(1));
        for row in &self.rows {
            let cell = |at: usize| row.get(at).map(String::as_str).unwrap_or_default();
            out.push_str(&pad(cell(0), names, Align::Left));
            out.push_str(": ");
            out.push_str(&pad(cell(1), values, Align::Left));
            out.push('\n');
        }
    }

    fn render_columns(&self, out: &mut String) {
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&titles).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                lines
                    .iter()
                    .filter_map(|line| line.get(at).map(String::as_str))
                    .map(len)
                    .max()
                    .unwrap_or(0)
                    + 2
            })
            .collect();
        for line in lines {
            for ((cell, width), (_, align)) in line.iter().zip(&widths).zip(&self.columns) {
                out.push_str(&pad(cell, *width, *align));
            }
            out.push('\n');
        }
    }

    fn render(&self, out: &mut String) {
        if !self.name.is_empty() {
            out.push_str(&format!("[{}]\n", self.name));
        }
        if self.columns.is_empty() { self.render_list(out) } else { self.render_columns(out) }
    }

    /// Every value is a string, and rows are keyed by their first cell, as scripts expect.
    fn json(&self) -> Value {
        let mut rows = Map::new();
        for row in &self.rows {
            let key = row.first().cloned().unwrap_or_default();
            let value = if self.columns.is_empty() {
                Value::String(row.get(1).cloned().unwrap_or_default())
            } else {
                let cells = self.columns.iter().zip(row);
                let cells =
                    cells.map(|((title, _), cell)| (title.clone(), Value::String(cell.clone())));
                Value::Object(cells.collect())
            };
            rows.insert(key, value);
        }
        Value::Object(rows)
    }
}

fn len(text: &str) -> usize {
    // A cell with line breaks (balance_operation_count of older servers) counts as a whole, as in
    // the reference.
    text.chars().count()
}

fn pad(text: &str, width: usize, align: Align) -> String {
    match align {
        Align::Left => format!("{text:<width$}"),
        Align::Right => format!("{text:>width$}"),
    }
}

/// Several tables, each followed by an empty line.
pub fn render_all(tables: &[Table], json: bool) -> String {
    if json {
        let all = tables.iter().map(|table| (table.name.clone(), table.json()));
        return pretty(&Value::Object(all.collect()));
    }
    let mut out = String::new();
    for table in tables {
        table.render(&mut out);
        out.push('\n');
    }
    out
}

/// One table without anything around it.
pub fn render_one(table: &Table, json: bool) -> String {
    if json {
        return pretty(&if table.name.is_empty() {
            table.json()
        } else {
            Value::Object(Map::from_iter([(table.name.clone(), table.json())]))
        });
    }
    let mut out = String::new();
    table.render(&mut out);
    out
}

/// JSON with an indent of four, and a line break at its end.
pub fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A tree of values always has a JSON form.
    let _ = serde::Serialize::serialize(value, &mut serializer);
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_as_in_the_reference() {
        let mut details = Table::with_columns("details", &["address", "status"]);
        details.add_right_column("replica_count");
        details.row(vec!["localhost:34801".into(), "ALIVE".into(), "8".into()]);
        let expected = "[details]\n\
                        address          status    replica_count\n\
                        localhost:34801  ALIVE                 8\n\n";
        assert_eq!(render_all(&[details], false), expected);
        let mut nodes = Table::with_columns("", &["address", "status"]);
        nodes.row(vec!["localhost:34801".into(), "ALIVE".into()]);
        let expected = "address          status  \nlocalhost:34801  ALIVE   \n";
        assert_eq!(render_one(&nodes, false), expected);
    }

    #[test]
    fn lists_are_padded_as_in_the_reference() {
        let mut general = Table::list("general");
        general.pair("app_name", "temp");
        general.pair("max_replica_count", 3);
        let expected = "[general]\napp_name           : temp\nmax_replica_count  : 3   \n";
        assert_eq!(render_one(&general, false), expected);
    }

    #[test]
    fn json_values_are_strings() {
        let mut table = Table::with_columns("t", &["pidx", "ballot"]);
        table.row(vec!["0".into(), "16".into()]);
        let mut list = Table::list("s");
        list.pair("n", 1);
        let text = render_all(&[table, list, Table::list("empty")], true);
        let expected = "{\n    \"t\": {\n        \"0\": {\n            \"pidx\": \"0\",\n            \
                        \"ballot\": \"16\"\n        }\n    },\n    \"s\": {\n        \"n\": \"1\"\n    \
                        },\n    \"empty\": {}\n}\n";
        assert_eq!(text, expected);
    }
}
