//! Bars over the points of a backup, drawn without any style of their own.

use maud::{Markup, html};

/// How many bars there are at most: the newest.
const MOST: usize = 60;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 110.0;
const BOTTOM: f64 = 92.0;
const TOP: f64 = 14.0;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) value: f64,
    /// What is said of it when one points at it.
    pub(crate) words: String,
    /// `warn` or `bad`, where it stands out.
    pub(crate) tone: &'static str,
}

/// Bars, the oldest first; `most` says in words how much the highest stands for.
pub(crate) fn bars(title: &str, bars: &[Bar], most: &str, from: &str, to: &str) -> Markup {
    let bars = &bars[bars.len().saturating_sub(MOST)..];
    let highest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "there are sixty at most")]
    let step = WIDTH / bars.len().max(1) as f64;
    let width = (step * 0.72).min(24.0);
    let height = |bar: &Bar| if highest > 0.0 { (bar.value / highest * (BOTTOM - TOP)).max(1.0) } else { 1.0 };
    #[expect(clippy::cast_precision_loss, reason = "there are sixty at most")]
    let left = |at: usize| at as f64 * step + (step - width) / 2.0;
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) ", at most " (most) } {
            line.axis x1="0" x2=(WIDTH) y1=(BOTTOM) y2=(BOTTOM) {}
            line.axis x1="0" x2=(WIDTH) y1=(TOP) y2=(TOP) stroke-dasharray="2 4" {}
            @for (at, bar) in bars.iter().enumerate() {
                rect class={ "bar " (bar.tone) } x=(format!("{:.1}", left(at))) y=(format!("{:.1}", BOTTOM - height(bar)))
                    width=(format!("{width:.1}")) height=(format!("{:.1}", height(bar))) rx="1.5" { title { (bar.words) } }
            }
            text x="0" y="10" { (most) }
            text x="0" y="106" { (from) }
            text x=(WIDTH) y="106" text-anchor="end" { (to) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_reaches_the_top_and_words_are_escaped() {
        let bar = |value, words: &str| Bar { value, words: words.to_owned(), tone: "" };
        let chart = bars("size", &[bar(5.0, "<b>"), bar(10.0, "two")], "10 B", "a", "b").into_string();
        assert!(chart.contains("height=\"78.0\"") && chart.contains("height=\"39.0\""), "{chart}");
        assert!(chart.contains("&lt;b&gt;") && !chart.contains("style="));
        let none = bars("size", &[], "0 B", "", "").into_string();
        assert!(!none.contains("rect") && !none.contains("NaN"));
    }
}
