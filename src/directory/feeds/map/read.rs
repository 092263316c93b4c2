//! From the text of a map to the map: every fault is found and told with its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use encoding_rs::Encoding;
use jiff::civil::Date;
use scim::filter::{Checked, Filter};
use scim::schema::{Attribute, Definition, Registry, Type};
use scim::template::Template;
use serde_json::Value;
use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use super::row::number;
use super::sheet::{Cell, Fault, Page, Sheet};
use super::value::{Column, From};
use super::{Condition, Extracted, Format, Limits, List, Map, Mode, Part, Spot, Threshold, Withdrawal};

/// Which types come first: what others refer to.
const ORDER: [&str; 3] = ["OrganizationalUnit", "Person", "User"];

impl Map {
    /// Reads a map against the resource types of a tenant. Fails with every fault, in the order of the text.
    pub fn read(text: &str, registry: &Registry) -> Result<Map, Vec<Fault>> {
        let page = Page::new(text);
        let parsed = match DeTable::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                page.fault(&error.span().unwrap_or_default(), error.message());
                return Err(page.faults());
            }
        };
        let root = Sheet::new(&page, parsed.get_ref(), 0..0);
        let map = read(&page, &root, registry, text);
        root.finish();
        let faults = page.faults();
        match map {
            Some(map) if faults.is_empty() => Ok(map),
            _ => Err(faults),
        }
    }
}

fn read(page: &Page<'_>, root: &Sheet<'_>, registry: &Registry, text: &str) -> Option<Map> {
    let source = root.needed("source").map(|(name, span)| {
        let is_name =
            !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        if !is_name {
            page.fault(&span, "source is a short name of letters, digits, - _ and full stops.");
        }
        name.to_owned()
    });
    let format = root.text("format").and_then(|(name, span)| {
        let format = Format::parse(name);
        if format.is_none() {
            page.fault(&span, "format is csv, xlsx or jsonl.");
        }
        format
    });
    let delimiter = root.text("delimiter").map_or(Some(b';'), |(text, span)| {
        let delimiter = match text.as_bytes() {
            [one] => Some(*one),
            _ => None,
        };
        if delimiter.is_none() {
            page.fault(&span, "delimiter is one character, such as \";\" or \"\\t\".");
        }
        delimiter
    });
    let encoding = root.text("encoding").and_then(|(label, span)| {
        let label = if label.eq_ignore_ascii_case("latin-1") { "latin1" } else { label };
        let encoding = Encoding::for_label(label.as_bytes());
        if encoding.is_none() {
            page.fault(&span, "This encoding is not known. There are utf-8, latin-1, windows-1252 and others.");
        }
        encoding
    });
    let sheet = root.text("sheet").map(|(name, _)| name.to_owned());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and few")]
    let skip = root.number("skip").map_or(0, |skip| skip.min(1_000.0) as u64);
    let (mode, extracted) = snapshot(page, root.sheet("snapshot"));
    let limits = limits(root.sheet("guard"));
    let sheets = root.sheets("resource");
    if sheets.is_empty() {
        page.fault(&root.span, "There is no [[resource]]: the map says nothing.");
    }
    let mut parts: Vec<Part> = sheets.into_iter().filter_map(|sheet| part(page, sheet, registry)).collect();
    parts.sort_by_key(|part| ORDER.iter().position(|kind| *kind == part.definition.name()).unwrap_or(ORDER.len()));
    Some(Map {
        source: source?,
        format,
        delimiter: delimiter?,
        encoding,
        sheet,
        skip,
        mode,
        extracted,
        limits,
        parts,
        digest: number(&Sha256::digest(text)),
    })
}

fn snapshot(page: &Page<'_>, sheet: Option<Sheet<'_>>) -> (Mode, Option<Extracted>) {
    let Some(sheet) = sheet else { return (Mode::Delta, None) };
    let mode = sheet.needed("mode").and_then(|(name, span)| {
        let mode = Mode::parse(name);
        if mode.is_none() {
            page.fault(&span, "mode is full or delta.");
        }
        mode
    });
    let extracted = sheet.sheet("extracted").and_then(|sheet| {
        let column = sheet.needed("column").map(|(name, _)| name.to_owned());
        let format = sheet.text("format").map(|(format, _)| format.to_owned());
        sheet.finish();
        Some(Extracted { column: column?, format })
    });
    sheet.finish();
    (mode.unwrap_or(Mode::Delta), extracted)
}

fn limits(sheet: Option<Sheet<'_>>) -> Limits {
    let default = Limits::default();
    let Some(sheet) = sheet else { return default };
    let threshold = |name: &'static str, default: Threshold| {
        let Some(own) = sheet.sheet(name) else { return default };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a count")]
        let floor = own.number("floor").map_or(default.floor, |floor| floor as u64);
        let percent = own.number("percent").unwrap_or(default.percent);
        own.finish();
        Threshold { percent, floor }
    };
    let limits = Limits {
        creates: threshold("creates", default.creates),
        disables: threshold("disables", default.disables),
        deletes: threshold("deletes", default.deletes),
        rejects: sheet.number("rejects").unwrap_or(default.rejects),
    };
    sheet.finish();
    limits
}

fn part(page: &Page<'_>, sheet: Sheet<'_>, registry: &Registry) -> Option<Part> {
    let kind = sheet.needed("kind");
    let definition = kind.clone().and_then(|(kind, span)| {
        let known = registry.definition(kind).filter(|_| !crate::directory::scope::is_administrative(kind));
        if known.is_none() {
            let kinds = registry.definitions().iter().map(|known| known.name());
            let kinds: Vec<&str> = kinds.filter(|kind| !crate::directory::scope::is_administrative(kind)).collect();
            page.fault(&span, format!("There is no resource type {kind} here. There are: {}.", kinds.join(", ")));
        }
        known.cloned()
    });
    let key = sheet.texts("key");
    if key.is_empty() && sheet.cell("key").is_none() {
        page.fault(&sheet.span, "key is missing: which column is the source's own key?");
    }
    let when = conditions(page, &sheet);
    let withdraw = sheet.text("withdraw").and_then(|(word, span)| match word {
        "disable" => Some(Withdrawal::Disable),
        "delete" => Some(Withdrawal::Delete),
        "keep" => Some(Withdrawal::Keep),
        _ => {
            page.fault(&span, "withdraw is disable, delete or keep.");
            None
        }
    });
    let scope = sheet.text("scope");
    let (columns, lists) = (sheet.sheet("columns"), sheet.sheets("list"));
    sheet.finish();
    let definition = definition?;
    let has_active = definition.attribute("active").is_some_and(|active| active.kind == Type::Boolean);
    if withdraw == Some(Withdrawal::Disable) && !has_active {
        page.fault(&kind?.1, format!("{} has no active, so that it cannot be disabled.", definition.name()));
    }
    let scope =
        scope.and_then(|(text, span)| checked(page, &span, Filter::parse(text).and_then(|f| f.check(&definition))));
    let columns: Vec<Column> = columns.map(|sheet| columns_of(page, &sheet, &definition)).unwrap_or_default();
    let lists: Vec<List> = lists.into_iter().filter_map(|sheet| list(page, sheet, &definition)).collect();
    let says_active = has_active && !columns.iter().any(|column| column.spot.attribute == "active");
    Some(Part {
        says_active,
        withdraw: withdraw.unwrap_or(if has_active { Withdrawal::Disable } else { Withdrawal::Keep }),
        definition,
        key,
        when,
        columns,
        lists,
        scope,
    })
}

fn checked(
    page: &Page<'_>,
    span: &std::ops::Range<usize>,
    filter: Result<Filter<Checked>, scim::Error>,
) -> Option<Filter<Checked>> {
    filter.map_err(|error| page.fault(span, error.detail)).ok()
}

fn conditions(page: &Page<'_>, sheet: &Sheet<'_>) -> Vec<Condition> {
    let Some(cell) = sheet.cell("when") else { return Vec::new() };
    let sheets = match cell.value {
        DeValue::Array(_) => sheet.sheets("when"),
        _ => Sheet::of(page, cell).into_iter().collect(),
    };
    let condition = |sheet: Sheet<'_>| {
        let column = sheet.needed("column").map(|(name, _)| name.to_owned());
        let is = sheet.texts("is");
        let not = sheet.flag("not").unwrap_or(false);
        sheet.finish();
        Some(Condition { column: column?, is, not })
    };
    sheets.into_iter().filter_map(condition).collect()
}

fn columns_of(page: &Page<'_>, sheet: &Sheet<'_>, definition: &Arc<Definition>) -> Vec<Column> {
    let each = sheet.cells().filter_map(|(path, span, cell)| match Spot::parse(definition, path) {
        Ok(spot) => column(page, path, &spot, cell, true),
        Err(detail) => {
            page.fault(&span, detail);
            None
        }
    });
    each.collect()
}

fn list(page: &Page<'_>, sheet: Sheet<'_>, definition: &Arc<Definition>) -> Option<List> {
    let path = sheet.needed("path");
    let key = sheet.needed("key");
    let from = sheet.text("from").map(|(name, _)| name.to_owned());
    let scope = sheet.text("scope");
    let columns = sheet.sheet("columns");
    sheet.finish();
    let (path, span) = path?;
    let spot = Spot::list(definition, path).map_err(|detail| page.fault(&span, detail)).ok()?;
    let attribute: &Attribute = definition.resolve(path)?.attribute?;
    let (key, span) = key?;
    let Some(key) = attribute.sub(key) else {
        page.fault(&span, format!("{} has no part {key}.", attribute.name));
        return None;
    };
    let scope = scope
        .and_then(|(text, span)| checked(page, &span, Filter::parse(text).and_then(|f| f.check_element(attribute))));
    let columns: Vec<Column> = columns.map_or_else(Vec::new, |columns| {
        let each = columns.cells().filter_map(|(name, span, cell)| match Spot::part(attribute, name) {
            Ok(spot) => column(page, name, &spot, cell, false),
            Err(detail) => {
                page.fault(&span, detail);
                None
            }
        });
        each.collect()
    });
    if !columns.iter().any(|column| column.spot.attribute == key.name) {
        page.fault(&span, format!("No column says {}, which tells elements apart.", key.name));
    }
    Some(List { spot, key: key.name.clone(), from, columns, scope })
}

fn column(page: &Page<'_>, path: &str, spot: &Spot, cell: Cell<'_>, may_refer: bool) -> Option<Column> {
    let is_secret = spot.is_secret;
    let plain = |from: From| Column {
        spot: spot.clone(),
        path: path.to_owned(),
        from,
        values: None,
        otherwise: None,
        date: None,
        split: None,
        refers: None,
        is_secret,
    };
    let sheet = match cell.value {
        DeValue::String(name) => return Some(plain(From::Column(name.to_string()))),
        _ => Sheet::of(page, cell)?,
    };
    let constant = sheet.cell("constant").and_then(|cell| fitting(page, spot, cell));
    let name = sheet.text("column").map(|(name, _)| name.to_owned());
    let template = sheet
        .text("template")
        .and_then(|(source, span)| Template::parse(source).map_err(|error| page.fault(&span, error.to_string())).ok());
    let from = match (name, constant, template) {
        (Some(name), None, None) => Some(From::Column(name)),
        (None, Some(value), None) => Some(From::Constant(value)),
        (None, None, Some(template)) => Some(From::Template(template)),
        // What does not fit was told already.
        (None, None, None) if sheet.cell("constant").or_else(|| sheet.cell("template")).is_some() => None,
        _ => {
            page.fault(&sheet.span, "One of column, template and constant must stand here.");
            None
        }
    };
    let values = sheet.sheet("values").map(|table| {
        let each = table.cells().filter_map(|(text, _, cell)| Some((text.to_owned(), fitting(page, spot, cell)?)));
        each.collect::<BTreeMap<String, Value>>()
    });
    let otherwise = sheet.cell("otherwise").and_then(|cell| fitting(page, spot, cell));
    let date = sheet.text("date").map(|(format, span)| {
        let reads_back = Date::constant(2024, 12, 31).strftime(format).to_string();
        if Date::strptime(format, &reads_back).ok() != Some(Date::constant(2024, 12, 31)) {
            page.fault(
                &span,
                "This is no form of a date. Write for instance \"%Y-%m-%d\", \"%d.%m.%Y\" or \"%Y%m%d\".",
            );
        }
        format.to_owned()
    });
    let split = sheet.text("split").map(|(text, _)| text.to_owned()).filter(|text| !text.is_empty());
    let refers = sheet.text("refers").map(|(kind, span)| {
        if !may_refer {
            page.fault(&span, "Within a list keys stay as they are; leave refers out.");
        }
        kind.to_owned()
    });
    let secret = sheet.flag("secret").unwrap_or(false);
    sheet.finish();
    Some(Column { values, otherwise, date, split, refers, is_secret: is_secret || secret, ..plain(from?) })
}

/// A value of the map that fits an attribute.
fn fitting(page: &Page<'_>, spot: &Spot, cell: Cell<'_>) -> Option<Value> {
    let value = match cell.value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Integer(number) => Value::from(number.as_str().parse::<i64>().ok()?),
        DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().ok()?),
        _ => Value::Null,
    };
    let fits = match spot.kind {
        Type::Boolean => value.is_boolean(),
        Type::Integer => value.is_i64(),
        Type::Decimal => value.is_number(),
        _ => value.is_string(),
    };
    if !fits {
        page.fault(&cell.span(), format!("{} is {}; this is not.", spot.attribute, spot.kind.as_str()));
        return None;
    }
    Some(if spot.is_list { Value::Array(vec![value]) } else { value })
}
