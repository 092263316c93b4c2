//! A table of TOML that is read name by name, so that each fault has its line and no name is passed over in silence.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Character of the line, from 1.
    pub column: usize,
    /// What is wrong, as a sentence.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: {}", self.line, self.column, self.detail)
    }
}

/// The text of a map and what was found wrong in it so far.
pub(super) struct Page<'t> {
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Page<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Page { text, faults: RefCell::default() }
    }

    /// Notes a fault at a place.
    pub(super) fn fault(&self, span: &Range<usize>, detail: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.faults.borrow_mut().push(Fault { line, column, detail: detail.into() });
    }

    /// What was found wrong, in the order of the text.
    pub(super) fn faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort();
        faults
    }
}

/// A value with its place.
#[derive(Clone, Copy)]
pub(super) struct Cell<'p> {
    pub(super) value: &'p DeValue<'p>,
    spanned: &'p Spanned<DeValue<'p>>,
}

impl<'p> Cell<'p> {
    pub(super) fn of(spanned: &'p Spanned<DeValue<'p>>) -> Self {
        Cell { value: spanned.get_ref(), spanned }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.spanned.span()
    }
}

/// A table of a map.
pub(super) struct Sheet<'p> {
    pub(super) page: &'p Page<'p>,
    table: &'p DeTable<'p>,
    pub(super) span: Range<usize>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl<'p> Sheet<'p> {
    pub(super) fn new(page: &'p Page<'p>, table: &'p DeTable<'p>, span: Range<usize>) -> Self {
        Sheet { page, table, span, used: RefCell::default() }
    }

    /// The table in a cell; a fault when it is none.
    pub(super) fn of(page: &'p Page<'p>, cell: Cell<'p>) -> Option<Self> {
        match cell.value {
            DeValue::Table(table) => Some(Sheet::new(page, table, cell.span())),
            other => {
                page.fault(&cell.span(), format!("Here must be a table, not {}.", other.type_str()));
                None
            }
        }
    }

    /// What stands under a name.
    pub(super) fn cell(&self, name: &'static str) -> Option<Cell<'p>> {
        self.used.borrow_mut().insert(name);
        self.table.get(name).map(Cell::of)
    }

    /// Every name with its place and what stands there.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&'p str, Range<usize>, Cell<'p>)> {
        self.table.iter().map(|(name, value)| (name.get_ref().as_ref(), name.span(), Cell::of(value)))
    }

    /// A text.
    pub(super) fn text(&self, name: &'static str) -> Option<(&'p str, Range<usize>)> {
        let cell = self.cell(name)?;
        let text = cell.value.as_str();
        if text.is_none() {
            self.page.fault(&cell.span(), format!("{name} must be a text in quotes."));
        }
        Some((text?, cell.span()))
    }

    /// A text that must be there.
    pub(super) fn needed(&self, name: &'static str) -> Option<(&'p str, Range<usize>)> {
        if self.cell(name).is_none() {
            self.page.fault(&self.span, format!("{name} is missing."));
        }
        self.text(name)
    }

    /// A text or several.
    pub(super) fn texts(&self, name: &'static str) -> Vec<String> {
        let Some(cell) = self.cell(name) else { return Vec::new() };
        let wrong = || self.page.fault(&cell.span(), format!("{name} must be a text, or a list of texts."));
        match cell.value {
            DeValue::String(text) => vec![text.to_string()],
            DeValue::Array(texts) => {
                let found: Vec<String> =
                    texts.iter().filter_map(|text| Some(text.get_ref().as_str()?.to_owned())).collect();
                if found.is_empty() || found.len() != texts.len() {
                    wrong();
                }
                found
            }
            _ => {
                wrong();
                Vec::new()
            }
        }
    }

    /// Yes or no.
    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        let cell = self.cell(name)?;
        let flag = cell.value.as_bool();
        if flag.is_none() {
            self.page.fault(&cell.span(), format!("{name} must be true or false."));
        }
        flag
    }

    /// A number that is not negative.
    pub(super) fn number(&self, name: &'static str) -> Option<f64> {
        let cell = self.cell(name)?;
        let number = match cell.value {
            DeValue::Integer(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            self.page.fault(&cell.span(), format!("{name} must be a number that is not negative."));
        }
        number
    }

    /// A table.
    pub(super) fn sheet(&self, name: &'static str) -> Option<Sheet<'p>> {
        Sheet::of(self.page, self.cell(name)?)
    }

    /// Tables, one after the other.
    pub(super) fn sheets(&self, name: &'static str) -> Vec<Sheet<'p>> {
        let Some(cell) = self.cell(name) else { return Vec::new() };
        match cell.value {
            DeValue::Array(tables) => tables.iter().filter_map(|table| Sheet::of(self.page, Cell::of(table))).collect(),
            _ => {
                self.page.fault(&cell.span(), format!("Write [[{name}]]: there may be several."));
                Vec::new()
            }
        }
    }

    /// Notes every name that nobody asked for.
    pub(super) fn finish(self) {
        let used = self.used.into_inner();
        for (name, _) in self.table.iter() {
            if !used.contains(name.get_ref().as_ref()) {
                let known: Vec<&str> = used.iter().copied().collect();
                let detail = format!("{} means nothing here. There are: {}.", name.get_ref(), known.join(", "));
                self.page.fault(&name.span(), detail);
            }
        }
    }
}
