//! A `<table>` as a list of objects: one for each row, by the cells of its head.
//!
//! The head is the first row with a `<th>` and nothing else, else the first row with a `<th>` in `<thead>`; without one the
//! columns are called `column_1` and so on. Cells that span columns or rows count in each. Tables inside cells are text.
//!
//! Source: WHATWG HTML 4.9.12 (forming a table).

use scraper::ElementRef;
use serde_json::{Map, Value};

use super::dom;

/// Columns of a table; a `colspan` may be as much (WHATWG HTML 4.9.11).
const MAX_COLUMNS: usize = 1000;

struct Cell {
    text: String,
    heads: bool,
}

/// Cells of rows above that reach down, by column: their text, and for how many rows still.
type Reaching = Vec<Option<(String, usize)>>;

/// The rows of a table below its head. `spend` is told of the bytes of each value, and says whether there may be more.
pub fn rows(table: ElementRef<'_>, spend: &mut dyn FnMut(usize) -> bool) -> Vec<Value> {
    let mut grid: Vec<Vec<Cell>> = Vec::new();
    let mut reaching = Reaching::new();
    for row in own_rows(table) {
        let cells = cells_of(row, &mut reaching);
        if !spend(cells.iter().map(|cell| cell.text.len() + 16).sum()) {
            return Vec::new();
        }
        if !cells.is_empty() {
            grid.push(cells);
        }
    }
    let head = grid.iter().position(|cells| cells.iter().all(|cell| cell.heads));
    let (names, body) = match head {
        Some(at) => (names(&grid[at]), &grid[at + 1..]),
        None => (Vec::new(), &grid[..]),
    };
    body.iter().map(|cells| Value::Object(object(&names, cells))).collect()
}

fn cells_of(row: ElementRef<'_>, reaching: &mut Reaching) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for cell in row.child_elements().filter(|cell| matches!(cell.value().name(), "td" | "th")) {
        fill_from_above(&mut cells, reaching);
        let span = |name| cell.attr(name).and_then(|text| text.trim().parse().ok()).unwrap_or(1).max(1);
        let (columns, down): (usize, usize) = (span("colspan"), span("rowspan"));
        let text = dom::folded_text(cell);
        for column in (cells.len()..MAX_COLUMNS).take(columns) {
            if down > 1 {
                reaching.resize(reaching.len().max(column + 1), None);
                reaching[column] = Some((text.clone(), down - 1));
            }
            cells.push(Cell { text: text.clone(), heads: cell.value().name() == "th" });
        }
    }
    fill_from_above(&mut cells, reaching);
    cells
}

/// Puts cells that reach down from above where the row has come to.
fn fill_from_above(cells: &mut Vec<Cell>, reaching: &mut Reaching) {
    while let Some(slot) = reaching.get_mut(cells.len())
        && let Some((text, rows)) = slot
    {
        cells.push(Cell { text: text.clone(), heads: false });
        *rows -= 1;
        if *rows == 0 {
            *slot = None;
        }
    }
}

/// Rows of the table itself, not of tables in its cells.
fn own_rows(table: ElementRef<'_>) -> impl Iterator<Item = ElementRef<'_>> {
    table.child_elements().flat_map(|part| {
        let sections = if part.value().name() == "tr" { vec![part] } else { Vec::new() };
        let inside = matches!(part.value().name(), "thead" | "tbody" | "tfoot");
        let rows = part.child_elements().filter(move |row| inside && row.value().name() == "tr");
        sections.into_iter().chain(rows)
    })
}

/// Names of columns: each once, and none empty.
fn names(head: &[Cell]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, cell) in head.iter().enumerate() {
        let name = if cell.text.is_empty() { format!("column_{}", at + 1) } else { cell.text.clone() };
        let count = head[..at].iter().filter(|earlier| earlier.text == cell.text && !cell.text.is_empty()).count();
        names.push(if count == 0 { name } else { format!("{name}_{}", count + 1) });
    }
    names
}

fn object(names: &[String], cells: &[Cell]) -> Map<String, Value> {
    let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("column_{}", at + 1));
    cells.iter().enumerate().map(|(at, cell)| (name(at), Value::from(cell.text.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(table: &str) -> Value {
        let html = dom::tree(table, &|| false).unwrap();
        let table = html.select(&scraper::Selector::parse("table").unwrap()).next().unwrap();
        Value::Array(rows(table, &mut |_| true))
    }

    #[test]
    fn rows_become_objects_by_header_cells() {
        let table = "<table><thead><tr><th>Size<th>Price<th><th>Price</thead>\
            <tr><td>S<td>1<td>x<td>2<tr><td rowspan=2>M<td colspan=2>3<tr><td>4<td><table><tr><td>in</table></table>";
        assert_eq!(
            read(table),
            json!([
                { "Size": "S", "Price": "1", "column_3": "x", "Price_2": "2" },
                { "Size": "M", "Price": "3", "column_3": "3" },
                { "Size": "M", "Price": "4", "column_3": "in" },
            ])
        );
        assert_eq!(read("<table><tr><td>a<td>b</table>"), json!([{ "column_1": "a", "column_2": "b" }]));
        assert_eq!(read("<table></table>"), json!([]));
    }

    #[test]
    fn a_table_that_grows_without_end_is_left() {
        let row = "<tr><td colspan=1000 rowspan=1000>x".repeat(1000);
        let html = dom::tree(&format!("<table>{row}"), &|| false).unwrap();
        let table = html.select(&scraper::Selector::parse("table").unwrap()).next().unwrap();
        let mut left = 100_000_usize;
        let mut spend = |bytes: usize| {
            left = left.saturating_sub(bytes);
            left > 0
        };
        assert_eq!(rows(table, &mut spend).len(), 0);
    }
}
