use std::fs::File;
use std::io::Write;

use scim::schema::Registry;

use super::text::is_mojibake;
use super::{ReadError, Told, read};
use crate::directory::feeds::map::{Format, Map};

fn map(more: &str) -> Map {
    let text = format!(
        "source = \"hr\"\n{more}\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n[resource.columns]\nuserName = \"Namn\"\n"
    );
    Map::read(&text, &Registry::builtin().expect("documents")).expect("a map")
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("writes");
    file
}

/// Number and name of each row, or why it cannot be read.
fn rows(bytes: &[u8], format: Format, map: &Map) -> Result<Vec<(u64, String)>, ReadError> {
    let mut found = Vec::new();
    read(&mut file(bytes), format, map, |told| {
        match told {
            Told::Header(_) => {}
            Told::Row(row) => found.push((row.number, row.text("Namn").unwrap_or_default().into_owned())),
            Told::Unread(unread) => found.push((unread.number, format!("! {}", unread.reason))),
        }
        true
    })?;
    Ok(found)
}

fn named(rows: &[(u64, String)]) -> Vec<(u64, &str)> {
    rows.iter().map(|(number, name)| (*number, name.as_str())).collect()
}

#[test]
fn csv_is_read_in_the_encoding_that_the_map_says_and_marks_go_before_it() {
    let text = "Nr;Namn\r\n1;Åsa Mäki\r\n\r\n2;\"Öberg; \"\"Kalle\"\"\"\r\n";
    let expected = [(2, "Åsa Mäki"), (4, "Öberg; \"Kalle\"")];
    let utf8 = map("");
    assert_eq!(named(&rows(text.as_bytes(), Format::Csv, &utf8).expect("reads")), expected);
    let marked = ["\u{FEFF}".as_bytes(), text.as_bytes()].concat();
    assert_eq!(named(&rows(&marked, Format::Csv, &utf8).expect("reads")), expected);
    // A mark is believed before the map.
    let latin = map("encoding = \"latin-1\"");
    assert_eq!(named(&rows(&marked, Format::Csv, &latin).expect("reads")), expected);
    let bytes: Vec<u8> = text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1")).collect();
    assert_eq!(named(&rows(&bytes, Format::Csv, &latin).expect("reads")), expected);
    let windows = map("encoding = \"windows-1252\"\ndelimiter = \",\"");
    assert_eq!(
        rows(b"Nr,Namn\n1,\x80uro \x8aipek\n", Format::Csv, &windows).expect("reads"),
        [(2, "€uro Šipek".into())]
    );
    let wide: Vec<u8> = format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(named(&rows(&wide, Format::Csv, &utf8).expect("reads")), expected);
}

#[test]
fn a_letter_that_is_cut_by_a_piece_of_the_file_is_whole() {
    let name = "å".repeat(40_000);
    let text = format!("Nr;Namn\n1;x{name}\n2;{name}\n");
    let found = rows(text.as_bytes(), Format::Csv, &map("")).expect("reads");
    assert_eq!(found, [(2, format!("x{name}")), (3, name)]);
}

#[test]
fn a_row_that_is_none_is_told_and_the_rest_goes_on() {
    let found = rows(b"Rapport 2026\nNr;Namn\n1;a\n2\n3;c;d\n4;e\n", Format::Csv, &map("skip = 1")).expect("reads");
    let told: Vec<(u64, bool)> = found.iter().map(|(number, name)| (*number, name.starts_with("! "))).collect();
    assert_eq!(told, [(3, false), (4, true), (5, true), (6, false)]);
    let lines = b"{\"Nr\": 1, \"Namn\": \"a\"}\n\n[1]\n{\"Nr\": \n{\"Nr\": 2, \"Namn\": \"b\"}";
    let found = rows(lines, Format::JsonLines, &map("")).expect("reads");
    assert_eq!(named(&found)[0], (1, "a"));
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert!(!found.iter().any(|(_, name)| name.contains("Nr")), "what a line says is not repeated: {found:?}");
}

#[test]
fn a_file_that_is_not_what_the_map_says_is_refused_with_the_reason() {
    let table: [(&[u8], Format, &str, &str); 6] = [
        (b"", Format::Csv, "", "empty"),
        (b"Nr;Namn;Nr\n", Format::Csv, "", "stands twice"),
        (b"Nr,Namn\n1,a\n", Format::Csv, "", "no column Nr, Namn. There are: Nr,Namn."),
        (b"Nr;Name\n1;a\n", Format::Csv, "", "no column Namn"),
        (b"Nr;Namn\n1;a\n", Format::Xlsx, "", "workbook"),
        (b"PK\x03\x04nonsense", Format::Xlsx, "", "workbook"),
    ];
    for (bytes, format, more, expected) in table {
        let error = rows(bytes, format, &map(more)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} / {expected}");
    }
}

#[test]
fn a_workbook_is_read_from_the_sheet_that_the_map_names_dates_and_numbers_as_they_are_written() {
    let bytes = include_bytes!("../../../tests/feeds/staff.xlsx");
    let map = map("format = \"xlsx\"\nsheet = \"Personal\"\nskip = 1");
    let mut found = Vec::new();
    let told = read(&mut file(bytes), Format::Xlsx, &map, |told| {
        if let Told::Row(row) = told {
            let text = |name| row.text(name).unwrap_or_default().into_owned();
            found.push((row.number, ["Nr", "Namn", "Anställd", "Aktiv"].map(text)));
        }
        true
    });
    told.expect("reads");
    let expected = [(4, ["1001", "Åsa Mäki", "2026-08-01", "true"]), (6, ["1002", "Björn Öberg", "", "false"])];
    assert_eq!(found, expected.map(|(number, row)| (number, row.map(str::to_owned))));
    let other = self::map("format = \"xlsx\"\nsheet = \"Blad9\"");
    let error = rows(bytes, Format::Xlsx, &other).expect_err("no such sheet").to_string();
    assert!(error.contains("Info, Personal"), "{error}");
}

#[test]
fn utf8_that_was_read_as_latin_1_is_recognised() {
    for (text, is) in [("MÃ¤ki", true), ("Ã…sa", true), ("Ã–berg", true), ("Mäki", false), ("São", false), ("Ã", false)]
    {
        assert_eq!(is_mojibake(text), is, "{text}");
    }
}
