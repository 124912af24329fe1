//! Metrics as Prometheus reads them: the text exposition format, version 0.0.4.

use std::fmt::{self, Write};

/// The content type of what [`Exposition::finish`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, until the process begins anew.
    Counter,
}

/// A page of metrics, written family by family.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    text: String,
}

/// One metric, to which samples are added.
#[derive(Debug)]
pub struct Family<'a> {
    page: &'a mut Exposition,
    name: &'static str,
    /// What stands before the first sample; a metric without samples is left out.
    head: Option<String>,
}

impl Exposition {
    /// Begins a metric. `help` is one line for people.
    pub fn family(&mut self, name: &'static str, kind: MetricKind, help: &str) -> Family<'_> {
        let kind = match kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        Family { page: self, name, head: Some(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")) }
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Adds a value; `labels` are names and values.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.page.text.extend(self.head.take());
        self.page.text.push_str(self.name);
        for (at, (name, label)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            // Writing to a text does not fail.
            let _ = write!(self.page.text, "{before}{name}=\"{}\"", escaped(label));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.page.text, "{end} {value}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_hold_anything() {
        let mut page = Exposition::default();
        page.family("dory_x", MetricKind::Gauge, "a \\ and\na line").sample(&[("name", "a\"b\\c\nd"), ("b", "ü")], 1.5);
        let expected = "# HELP dory_x a \\\\ and\\na line\n# TYPE dory_x gauge\ndory_x{name=\"a\\\"b\\\\c\\nd\",b=\"ü\"} 1.5\n";
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn a_metric_without_samples_is_left_out() {
        let mut page = Exposition::default();
        page.family("dory_x", MetricKind::Counter, "nothing");
        page.family("dory_y", MetricKind::Counter, "something").sample(&[], 3);
        assert_eq!(page.finish(), "# HELP dory_y something\n# TYPE dory_y counter\ndory_y 3\n");
    }
}
