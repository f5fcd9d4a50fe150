//! Tables for people.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

/// Rows of as many columns as there are heads, each as wide as it needs to be.
pub(super) struct Table<const N: usize>(Vec<[String; N]>);

impl<const N: usize> Table<N> {
    pub(super) fn new(heads: [&str; N]) -> Self {
        Self(vec![heads.map(str::to_owned)])
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.0.push(cells);
    }
}

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max();
        for row in &self.0 {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = width(column).unwrap_or_default();
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What stands in a cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(["name", "state"]);
        table.row([cell(&Value::from("bü")), cell(&Value::Null)]);
        table.row([cell(&Value::from("longer")), cell(&Value::from(3))]);
        assert_eq!(table.to_string(), "name    state\nbü      -\nlonger  3\n");
    }
}
