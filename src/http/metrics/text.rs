//! The text that Prometheus reads: exposition format 0.0.4. Each metric has its HELP and TYPE whether or not it has values,
//! so that what is exported can be told from one answer.

use std::fmt::{Display, Write as _};

use store::meter::Distribution;

use super::name::{Kind, Metric};

/// The media type of the text.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of labels.
type Labels<'l> = &'l [(&'l str, &'l str)];

/// A text that is being written.
#[derive(Debug, Default)]
pub(in crate::http) struct Page(String);

impl Page {
    /// The text.
    pub(in crate::http) fn into_text(self) -> String {
        self.0
    }

    /// Begins a metric; its values follow.
    pub(in crate::http) fn begin(&mut self, metric: &Metric) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let Metric { name, help, .. } = metric;
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A metric that has one value and no labels.
    pub(in crate::http) fn single(&mut self, metric: &Metric, value: impl Display) {
        self.begin(metric);
        self.value(metric, &[], value);
    }

    /// A metric that has one value at most.
    pub(in crate::http) fn optional(&mut self, metric: &Metric, value: Option<impl Display>) {
        self.begin(metric);
        if let Some(value) = value {
            self.value(metric, &[], value);
        }
    }

    /// A value of the metric that was begun.
    pub(in crate::http) fn value(&mut self, metric: &Metric, labels: Labels<'_>, value: impl Display) {
        self.line(metric.name, "", labels, value);
    }

    /// How many values there were, and their sum, of the metric that was begun.
    pub(in crate::http) fn totals(&mut self, metric: &Metric, labels: Labels<'_>, sum: impl Display, count: u64) {
        self.line(metric.name, "_sum", labels, sum);
        self.line(metric.name, "_count", labels, count);
    }

    /// A distribution as a histogram; its values are divided by `unit`.
    pub(in crate::http) fn histogram(&mut self, metric: &Metric, labels: Labels<'_>, of: &Distribution, unit: f64) {
        let mut below = 0;
        for (bound, count) in of.bounds.iter().zip(&of.counts) {
            below += count;
            let bound = (*bound as f64 / unit).to_string();
            self.line(metric.name, "_bucket", &[labels, &[("le", &bound)]].concat(), below);
        }
        let total = of.total();
        self.line(metric.name, "_bucket", &[labels, &[("le", "+Inf")]].concat(), total);
        self.totals(metric, labels, of.sum as f64 / unit, total);
    }

    fn line(&mut self, name: &str, suffix: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    character => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use store::meter::Histogram;

    use super::*;

    const METRIC: Metric = Metric { name: "m_seconds", kind: Kind::Histogram, help: "Time." };

    #[test]
    fn a_histogram_counts_upwards_and_ends_with_all() {
        let histogram = Histogram::new(&[100, 2_500_000]);
        [50, 100, 101, 3_000_000].into_iter().for_each(|value| histogram.record(value));
        let mut page = Page::default();
        page.begin(&METRIC);
        page.histogram(&METRIC, &[("route", "/a")], &histogram.distribution(), 1e6);
        let expected = [
            "# HELP m_seconds Time.",
            "# TYPE m_seconds histogram",
            "m_seconds_bucket{route=\"/a\",le=\"0.0001\"} 2",
            "m_seconds_bucket{route=\"/a\",le=\"2.5\"} 3",
            "m_seconds_bucket{route=\"/a\",le=\"+Inf\"} 4",
            "m_seconds_sum{route=\"/a\"} 3.000251",
            "m_seconds_count{route=\"/a\"} 4",
        ];
        assert_eq!(page.into_text().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_label_cannot_break_out_of_its_line() {
        let mut page = Page::default();
        page.value(&METRIC, &[("client", "a\"b\\c\nd")], 1);
        assert_eq!(page.into_text(), "m_seconds{client=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
