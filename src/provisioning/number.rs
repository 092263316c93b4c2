//! Personal identity numbers: Finnish, Swedish with coordination numbers, and temporary ones of Swedish schools. A number
//! is checked by its own arithmetic and kept in one form. Pure; whether a number is somebody's is never asked.
//!
//! The Finnish check character is that of the nine digits modulo 31 (Population Register's rule, with the separators of
//! 2023); the Swedish check digit is Luhn's over ten digits; a coordination number adds 60 to the day.

use jiff::civil::Date;

/// The register that gave a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Finnish personal identity code.
    Finnish,
    /// Swedish personal identity number or coordination number.
    Swedish,
    /// A temporary number that a school gave, to be replaced: no hard key.
    Temporary,
}

impl Kind {
    /// As it stands in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Finnish => "fi",
            Kind::Swedish => "se",
            Kind::Temporary => "temporary",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Kind::Finnish, Kind::Swedish, Kind::Temporary].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A number in its one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// What it is.
    pub kind: Kind,
    /// Finnish: eleven characters, the separator as given, for it tells people apart. Swedish: twelve digits. Temporary:
    /// digits of the date, then what follows, in capitals.
    pub text: String,
}

/// Check characters of a Finnish number, by the remainder modulo 31.
const REMAINDERS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// Every way in which a text is a number; more than one when Finnish and Swedish arithmetic both hold. `today` decides the
/// century of a Swedish number with ten digits.
pub fn read(text: &str, today: Date) -> Vec<Number> {
    let text = text.trim().to_uppercase();
    let ways =
        [(Kind::Finnish, finnish(&text)), (Kind::Swedish, swedish(&text, today)), (Kind::Temporary, temporary(&text))];
    ways.into_iter().filter_map(|(kind, text)| text.map(|text| Number { kind, text })).collect()
}

/// Whether a number in its one form is one that somebody has until there is a real one: a school's, a Swedish coordination
/// number, a Finnish one from 900 on, which the register gives to nobody.
pub fn is_provisional(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes {
        [.., first, _, _, _] if bytes.len() == 11 => *first == b'9',
        _ if bytes.len() == 12 && bytes.iter().all(u8::is_ascii_digit) => bytes.get(6).is_some_and(|day| *day >= b'6'),
        _ => true,
    }
}

/// `ddmmyyCzzzQ`.
fn finnish(text: &str) -> Option<String> {
    let bytes: [u8; 11] = text.as_bytes().try_into().ok()?;
    let [d1, d2, m1, m2, y1, y2, separator, z1, z2, z3, check] = bytes;
    let century = match separator {
        b'+' => 1800,
        b'-' | b'Y' | b'X' | b'W' | b'V' | b'U' => 1900,
        b'A'..=b'F' => 2000,
        _ => return None,
    };
    date(century + i64::from(number(&[y1, y2])?), number(&[m1, m2])?, number(&[d1, d2])?)?;
    if number(&[z1, z2, z3])? < 2 {
        return None;
    }
    let digits = number(&[d1, d2, m1, m2, y1, y2, z1, z2, z3])?;
    let expected = REMAINDERS.get(usize::try_from(digits % 31).ok()?)?;
    (*expected == check).then(|| text.to_owned())
}

/// `YYMMDD-NNNC`, `YYMMDD+NNNC` or `YYYYMMDDNNNC`, separators as one likes where they say nothing.
fn swedish(text: &str, today: Date) -> Option<String> {
    let (born, separator, last) = match text.len() {
        10 => (text.get(..6)?, None, text.get(6..)?),
        11 => (text.get(..6)?, text.as_bytes().get(6), text.get(7..)?),
        12 => (text.get(..8)?, None, text.get(8..)?),
        13 => (text.get(..8)?, text.as_bytes().get(8), text.get(9..)?),
        _ => return None,
    };
    if !separator.is_none_or(|separator| matches!(separator, b'-' | b'+')) {
        return None;
    }
    let short = born.get(born.len() - 6..)?;
    let ten = format!("{short}{last}");
    number(ten.as_bytes())?;
    if !passes_luhn(ten.as_bytes()) {
        return None;
    }
    let (month, day) = (number(short.get(2..4)?.as_bytes())?, number(short.get(4..)?.as_bytes())?);
    // A coordination number.
    let day = if day > 60 { day - 60 } else { day };
    let birth = if born.len() == 8 {
        date(i64::from(number(born.get(..4)?.as_bytes())?), month, day)?
    } else {
        let of_century = i64::from(number(short.get(..2)?.as_bytes())?);
        let this = i64::from(today.year());
        let youngest = this - (this - of_century).rem_euclid(100);
        let is_ahead = |year| date(year, month, day).is_some_and(|born| born > today);
        let year = if is_ahead(youngest) { youngest - 100 } else { youngest };
        // From the year one turns 100 the separator is a plus.
        date(if separator == Some(&b'+') { year - 100 } else { year }, month, day)?
    };
    let year = birth.year();
    Some(format!("{year:04}{}{last}", short.get(2..)?))
}

/// A date of six or eight digits and one or two letters with two or three digits behind.
fn temporary(text: &str) -> Option<String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (born, rest) = text.split_at_checked(digits)?;
    let (month, day) = match digits {
        6 => (born.get(2..4)?, born.get(4..)?),
        8 => (born.get(4..6)?, born.get(6..)?),
        _ => return None,
    };
    let (month, day) = (number(month.as_bytes())?, number(day.as_bytes())?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let letters = rest.bytes().take_while(u8::is_ascii_uppercase).count();
    let tail = rest.get(letters..)?;
    let holds = (1..=2).contains(&letters) && letters + tail.len() == 4 && number(tail.as_bytes()).is_some();
    holds.then(|| format!("{born}{rest}"))
}

/// Luhn's check: every second digit from the left counts twice, of ten digits.
fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

fn number(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    // Ten digits may be more than fits; that they are digits is all that is asked then.
    if text.len() == 10 { Some(0) } else { text.parse().ok() }
}

fn date(year: i64, month: u32, day: u32) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today() -> Date {
        Date::constant(2026, 11, 22)
    }

    fn read_one(text: &str) -> Option<(Kind, String)> {
        match read(text, today()).as_slice() {
            [] => None,
            [one] => Some((one.kind, one.text.clone())),
            more => panic!("{text} is read as {more:?}"),
        }
    }

    #[test]
    fn numbers_that_are_right_are_kept_in_one_form() {
        let table = [
            // People whom the Finnish register has made up for tests.
            ("010594Y9032", Kind::Finnish, "010594Y9032"),
            ("020594X903P", Kind::Finnish, "020594X903P"),
            ("030594w903b", Kind::Finnish, "030594W903B"),
            ("040594V9030", Kind::Finnish, "040594V9030"),
            ("050594U903M", Kind::Finnish, "050594U903M"),
            ("010516B903X", Kind::Finnish, "010516B903X"),
            ("020504A902E", Kind::Finnish, "020504A902E"),
            (" 131052-308T ", Kind::Finnish, "131052-308T"),
            ("811218-9876", Kind::Swedish, "198112189876"),
            ("8112189876", Kind::Swedish, "198112189876"),
            ("19811218-9876", Kind::Swedish, "198112189876"),
            ("900101-9802", Kind::Swedish, "199001019802"),
            ("121212+1212", Kind::Swedish, "191212121212"),
            ("121212-1212", Kind::Swedish, "201212121212"),
            // A coordination number: sixty and the day.
            ("701063-2391", Kind::Swedish, "197010632391"),
            ("20100101-TF01", Kind::Temporary, "20100101TF01"),
            ("100101t012", Kind::Temporary, "100101T012"),
        ];
        for (text, kind, kept) in table {
            assert_eq!(read_one(text), Some((kind, kept.to_owned())), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_given_until_there_is_a_real_one_are_known() {
        let provisional = ["010594Y9032", "020504A902E", "197010632391", "20100101TF01", "100101T012"];
        assert!(provisional.iter().all(|number| is_provisional(number)));
        let real = ["131052-308T", "198112189876", "199001019802"];
        assert!(!real.iter().any(|number| is_provisional(number)));
    }

    #[test]
    fn a_century_is_that_of_the_last_such_day() {
        let at = |year, month, day| swedish("261122-0001", Date::constant(year, month, day));
        // Luhn holds for this one; it is the day that decides.
        assert_eq!(at(2026, 11, 22).as_deref(), Some("202611220001"));
        assert_eq!(at(2026, 11, 21).as_deref(), Some("192611220001"));
    }

    #[test]
    fn numbers_that_are_wrong_are_none() {
        for text in [
            "",
            "x",
            "010594Y9033",
            "320594Y9032",
            "010594Z9032",
            "010594-0011",
            "811218-9875",
            "811318-9876",
            "20100101TF",
            "101301TF01",
            "10010-TF01",
            "åäö594Y9032",
            "8112189876123",
            "19811218 9876",
        ] {
            assert_eq!(read(text, today()), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_read_alike_again(text in "[0-9]{6}[-+A-FU-Y]?[0-9A-Z]{3,5}") {
            for number in read(&text, today()) {
                let again = read(&number.text, today());
                prop_assert!(again.contains(&number), "{number:?} becomes {again:?}");
            }
        }

        #[test]
        fn one_wrong_digit_is_noticed(place in 0_usize..10, by in 1_u8..10) {
            let mut digits = *b"8112189876";
            digits[place] = b'0' + (digits[place] - b'0' + by) % 10;
            prop_assert_eq!(swedish(std::str::from_utf8(&digits).unwrap(), today()), None);
        }
    }
}
