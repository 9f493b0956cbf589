//! Text in columns.

/// The head and the rows, each column as wide as its widest cell, two spaces between them. Ends in
/// a line end.
pub fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        // What services and nodes say of themselves came over the network.
        let text = padded.collect::<Vec<_>>().join("  ").replace(char::is_control, " ");
        text.trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(head)).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_is_as_wide_as_its_widest_cell() {
        let rows =
            [["a", "long"], ["longer", ""], ["x\u{7}y", "é"]].map(|row| row.map(String::from));
        let text = columns(["H", "HEAD"], &rows);
        assert_eq!(text, "H       HEAD\na       long\nlonger\nx y     é\n");
    }
}
