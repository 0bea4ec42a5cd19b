//! Tables for people.

use std::fmt::Write;

/// Rows of cells, each column as wide as its widest cell, a line each.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // writing to a string cannot fail
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [vec!["id".to_owned(), "name".into(), "x".into()], vec!["1".into(), "größer".into(), String::new()]];
        assert_eq!(columns(&rows), "id  name    x\n1   größer\n");
        assert_eq!(columns(&[]), "");
    }
}
