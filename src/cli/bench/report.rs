//! The outcome of a run: a table for people, JSON for machines.

use std::fmt::Write;

use serde_json::{Value, json};

use super::book::{Book, Key};
use super::measure::Figure;
use super::target::{Verdict, judge};

/// Everything as text.
pub(super) fn table(book: &Book, facts: &Value, command: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut text, book, facts, command);
    text
}

fn write_table(out: &mut String, book: &Book, facts: &Value, command: &str) -> std::fmt::Result {
    writeln!(out, "$ {command}")?;
    let fact = |name: &str| facts.get(name).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
    writeln!(
        out,
        "{} · {} cores · Linux {} · load {} · fsync {} µs · {} build{}",
        fact("processor"),
        fact("cores"),
        fact("kernel"),
        fact("load"),
        fact("fsyncMicroseconds"),
        fact("build"),
        if facts.get("awake") == Some(&Value::Bool(true)) { " · cores kept awake" } else { "" }
    )?;
    let (figures, verdicts) = (book.figures(), judge(book));
    for (size, register) in &book.registers {
        writeln!(
            out,
            "\n{size} people, loaded at {:.0} a second ({:.0} µs CPU each)",
            register.load_rate, register.load_cpu
        )?;
        let mib = |bytes: Option<u64>| {
            bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1048576.0))
        };
        let each = register.file.map_or_else(|| "?".to_owned(), |bytes| format!("{:.0}", bytes as f64 / *size as f64));
        writeln!(
            out,
            "memory (PSS) {} MiB before, {} MiB after · file {each} bytes a person · {} read back, {} lost",
            mib(register.memory_before),
            mib(register.memory_after),
            register.read_back,
            register.lost
        )?;
        writeln!(
            out,
            "\n{:<42} {:>4} {:>10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>6} {:>6}",
            "", "conn", "ops/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU µs", "ratio", "CPU"
        )?;
        let of_size: Vec<_> = figures.iter().filter(|(key, _)| key.size == *size).collect();
        for (place, (key, figure)) in of_size.iter().enumerate() {
            let own = of_size.iter().find(|(other, _)| is_own(other, key)).map(|(_, own)| own);
            write_line(out, key, figure, own)?;
            let is_last = of_size.get(place + 1).is_none_or(|(next, _)| !is_same(next, key));
            for verdict in verdicts.iter().filter(|verdict| is_last && is_about(verdict, key)) {
                writeln!(out, "      {}", sentence(verdict))?;
            }
        }
        for verdict in verdicts.iter().filter(|verdict| verdict.size == *size && verdict.scenario.is_empty()) {
            writeln!(out, "      {}", sentence(verdict))?;
        }
    }
    let faults = figures.iter().filter_map(|(key, figure)| Some((key, figure.wrong, figure.fault.as_ref()?)));
    for (key, wrong, fault) in faults {
        writeln!(out, "\nWRONG: {} × {} {}: {wrong} times, first: {fault}", key.scenario, key.connections, key.arm)?;
    }
    for (size, scenario, fault) in &book.refused {
        writeln!(out, "\nNOT MEASURED: {scenario} at {size}: {fault}")?;
    }
    let asked = verdicts.iter().filter(|verdict| verdict.must.is_some());
    let (met, missed): (Vec<_>, Vec<_>) = asked.partition(|verdict| verdict.is_met());
    writeln!(out, "\n{} of {} musts met, {} wrong or lost", met.len(), met.len() + missed.len(), book.faults())
}

fn is_same(one: &Key, other: &Key) -> bool {
    (one.size, one.scenario, one.connections) == (other.size, other.scenario, other.connections)
}

fn is_own(one: &Key, other: &Key) -> bool {
    is_same(one, other) && one.arm.is_empty() && !other.arm.is_empty()
}

fn is_about(verdict: &Verdict, key: &Key) -> bool {
    (verdict.size, verdict.scenario, verdict.connections) == (key.size, key.scenario, key.connections)
}

fn write_line(out: &mut String, key: &Key, figure: &Figure, own: Option<&Figure>) -> std::fmt::Result {
    let name = if key.arm.is_empty() { key.scenario.to_owned() } else { format!("  against {}", key.arm) };
    let ms = |micros: f64| format!("{:.3}", micros / 1_000.0);
    let ratio = |pick: fn(&Figure) -> f64| {
        let own = own.filter(|_| pick(figure) > 0.0);
        own.map(|own| format!("{:.2}", pick(own) / pick(figure))).unwrap_or_default()
    };
    writeln!(
        out,
        "{name:<42} {:>4} {:>10.0} {:>9} {:>9} {:>9} {:>9} {:>8.1} {:>6} {:>6}",
        key.connections,
        figure.rate,
        ms(figure.p50),
        ms(figure.p95),
        ms(figure.p99),
        ms(figure.max),
        figure.cpu,
        ratio(|figure| figure.rate),
        ratio(|figure| figure.cpu)
    )
}

fn sentence(verdict: &Verdict) -> String {
    let sign = if verdict.is_lower_bound { "≥" } else { "≤" };
    let one = |name: &str, wanted: Option<f64>| {
        let Some(wanted) = wanted else { return String::new() };
        let outcome = if verdict.meets(wanted) {
            "met".to_owned()
        } else {
            format!("missed by {:.2}x", verdict.misses_by(wanted))
        };
        format!(" · {name} {sign} {} {outcome}", short(wanted))
    };
    let (must, stretch) = (one("must", verdict.must), one("stretch", verdict.stretch));
    format!("row {}: {} {}{must}{stretch}", verdict.row, verdict.what, short(verdict.found))
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Everything as JSON. Times are in µs.
pub(super) fn document(book: &Book, facts: &Value, command: &str) -> Value {
    let registers: Vec<Value> = book
        .registers
        .iter()
        .map(|(size, register)| {
            json!({
                "people": size, "loadRate": register.load_rate, "loadCpu": register.load_cpu,
                "fileBytes": register.file, "memoryBefore": register.memory_before,
                "memoryAfter": register.memory_after, "readBack": register.read_back, "lost": register.lost,
            })
        })
        .collect();
    let figures: Vec<Value> = book
        .figures()
        .into_iter()
        .map(|(key, figure)| {
            json!({
                "people": key.size, "scenario": key.scenario, "connections": key.connections, "arm": key.arm,
                "rounds": figure.rounds, "done": figure.done, "rate": figure.rate, "p50": figure.p50,
                "p95": figure.p95, "p99": figure.p99, "max": figure.max, "cpu": figure.cpu,
                "seconds": figure.seconds, "drift": figure.drift, "wrong": figure.wrong, "fault": figure.fault,
            })
        })
        .collect();
    let targets: Vec<Value> = judge(book)
        .iter()
        .map(|verdict| {
            json!({
                "row": verdict.row, "people": verdict.size, "scenario": verdict.scenario,
                "connections": verdict.connections, "what": verdict.what, "found": verdict.found,
                "must": verdict.must, "stretch": verdict.stretch, "met": verdict.is_met(),
                "stretchMet": verdict.stretch.map(|stretch| verdict.meets(stretch)),
            })
        })
        .collect();
    let refused: Vec<Value> = book
        .refused
        .iter()
        .map(|(size, scenario, fault)| json!({ "people": size, "scenario": scenario, "fault": fault }))
        .collect();
    json!({
        "command": command, "facts": facts, "registers": registers, "figures": figures, "targets": targets,
        "refused": refused, "faults": book.faults(),
    })
}
