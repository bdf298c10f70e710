//! One table, written two ways: aligned for a terminal, or as Markdown.

#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// The first columns are words (left), the rest are figures (right), up to the trailing words.
    words: usize,
}

impl Table {
    /// `words` leading columns are set to the left, all others to the right.
    pub fn new(words: usize, header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), words }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.header.len(), "a cell for every column");
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn aligned(&self) -> String {
        let header: Vec<String> = self.header.iter().map(ToString::to_string).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|column| self.rows.iter().chain([&header]).map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in [&header].into_iter().chain(&self.rows) {
            let cells: Vec<String> =
                row.iter().enumerate().map(|(column, cell)| pad(cell, widths[column], column < self.words)).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }

    pub fn markdown(&self) -> String {
        let rule: Vec<&str> =
            (0..self.header.len()).map(|column| if column < self.words { "---" } else { "---:" }).collect();
        let mut out = format!("| {} |\n|{}|\n", self.header.join(" | "), rule.join("|"));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            out.extend(["| ", &cells.join(" | "), " |\n"]);
        }
        out
    }
}

/// Characters, not bytes: the units hold a `µ`.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn pad(cell: &str, wanted: usize, left: bool) -> String {
    let gap = " ".repeat(wanted.saturating_sub(width(cell)));
    if left { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Table {
        let mut table = Table::new(1, &["what", "CPU µs"]);
        table.row(vec!["read".into(), "14.1".into()]);
        table.row(vec!["a|b".into(), "1,000.0".into()]);
        table
    }

    #[test]
    fn words_stand_left_and_figures_right() {
        assert_eq!(small().aligned(), "what   CPU µs\nread     14.1\na|b   1,000.0\n");
    }

    #[test]
    fn markdown_escapes_bars() {
        assert_eq!(small().markdown(), "| what | CPU µs |\n|---|---:|\n| read | 14.1 |\n| a\\|b | 1,000.0 |\n");
    }
}
