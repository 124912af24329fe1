//! Columns of text.

use unicode_width::UnicodeWidthStr;

/// Rows under headings, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width_of =
        |column: usize| rows.iter().map(|row| row[column].width()).chain([headings[column].width()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width_of).collect();
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(headings);
    for row in rows {
        text.push_str(&line(std::array::from_fn(|column| row[column].as_str())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let rows = [["db".to_owned(), "1".to_owned()], ["Käse-日本".to_owned(), "22".to_owned()]];
        assert_eq!(table(["NAME", "N"], &rows), "NAME       N\ndb         1\nKäse-日本  22\n");
    }
}
