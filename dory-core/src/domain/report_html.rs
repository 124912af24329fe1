//! A report, and what is told at once, as HTML that mail programs show: one table after the other, styles inline, no
//! image, no script, no link.

use super::quantity::duration;
use super::report::{BackupLine, Report};
use super::report_state::StateChange;
use super::report_text::{cost_lines, more, size_lines, state_of};

const BODY: &str = "margin:0;padding:16px;background:#ffffff;color:#1c1c1c;font:14px/1.45 -apple-system,'Segoe UI',Roboto,\
                    Helvetica,Arial,sans-serif";
const H1: &str = "font-size:20px;margin:0 0 4px";
const H2: &str = "font-size:15px;margin:20px 0 6px";
const QUIET: &str = "color:#5f6368";
const TABLE: &str = "border-collapse:collapse;width:100%;max-width:960px";
const HEAD: &str =
    "text-align:left;padding:4px 12px 4px 0;border-bottom:2px solid #dadce0;color:#5f6368;font-weight:600";
const CELL: &str = "text-align:left;padding:4px 12px 4px 0;border-bottom:1px solid #eceff1;vertical-align:top";
const BAD: &str = "color:#a50e0e;font-weight:600";
const GOOD: &str = "color:#137333";
const BOX: &str = "margin:0 0 8px;padding:8px 12px;border-left:4px solid #c5221f;background:#fce8e6;max-width:930px";
const BOX_GOOD: &str =
    "margin:0 0 8px;padding:8px 12px;border-left:4px solid #188038;background:#e6f4ea;max-width:930px";

impl Report {
    /// The report as HTML.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut html = format!(
            "<h1 style=\"{H1}\">{}</h1>\n<p style=\"margin:0;{QUIET}\">from {} to {}</p>\n",
            escaped(&self.headline()),
            escaped(&self.moment(self.since)),
            escaped(&self.moment(self.at))
        );
        if !self.attention.is_empty() {
            html.push_str(&heading("What needs a look"));
            for attention in self.attention_shown() {
                html.push_str(&boxed(BOX, &attention.subject, &attention.words, attention.remedy.as_deref()));
            }
        }
        let left_out = |count| more(count).map(|more| format!("<p style=\"{QUIET}\">{}</p>\n", escaped(&more)));
        html.extend(left_out(self.attention.len()));
        let rows: Vec<_> = self.shown_backups().into_iter().map(|backup| self.backup_row(backup)).collect();
        html.push_str(&table("Backups", &["Backup", "Server", "State", "When, and how much"], &rows));
        html.extend(left_out(self.backups.len()));
        let place =
            |place: &super::report::Place| vec![escaped(place.container.as_str()), escaped(place.server.as_str())];
        html.push_str(&table(
            "New containers",
            &["Container", "Server"],
            &self.new.iter().map(place).collect::<Vec<_>>(),
        ));
        let removed: Vec<_> = self.removed.iter().map(place).collect();
        html.push_str(&table("Removed containers", &["Container", "Server"], &removed));
        let servers = self.servers.iter().map(|server| {
            vec![
                escaped(server.name.as_str()),
                escaped(server.state.as_str()),
                escaped(&self.moment(server.last_ping)),
                escaped(&server.version),
            ]
        });
        html.push_str(&table("Servers", &["Server", "State", "Last heard of", "Dory"], &servers.collect::<Vec<_>>()));
        let stops = self.longest_stops.iter().map(|stop| {
            vec![
                escaped(&stop.backup),
                escaped(stop.server.as_str()),
                escaped(&duration(stop.length)),
                escaped(&self.moment(stop.at)),
            ]
        });
        html.push_str(&table(
            "Longest stop windows",
            &["Backup", "Server", "Length", "When"],
            &stops.collect::<Vec<_>>(),
        ));
        html.push_str(&list("Size", &size_lines(&self.size)));
        if let Some(cost) = &self.cost {
            html.push_str(&list("Cost", &cost_lines(cost)));
        }
        page(&self.headline(), &html)
    }

    fn backup_row(&self, backup: &BackupLine) -> Vec<String> {
        let style = if backup.troubles.is_empty() { GOOD } else { BAD };
        let lines: Vec<_> = self.made_lines(backup).iter().map(|line| escaped(line)).collect();
        vec![
            escaped(&backup.name),
            escaped(backup.server.as_str()),
            format!("<span style=\"{style}\">{}</span>", escaped(&state_of(backup))),
            lines.join("<br>"),
        ]
    }
}

/// What changed, as HTML.
#[must_use]
pub fn html_of(headline: &str, changes: &[&StateChange]) -> String {
    use super::settings::Topic;
    let mut html = format!("<h1 style=\"{H1}\">{}</h1>\n", escaped(headline));
    for change in changes {
        let style = if matches!(change.topic, Topic::Recovered | Topic::Back) { BOX_GOOD } else { BOX };
        let subject = format!("{}: {}", change.topic.as_str(), change.subject);
        html.push_str(&boxed(style, &subject, &change.words, change.remedy.as_deref()));
    }
    html.push_str(&format!("<p style=\"{QUIET}\">This is told once; the next report says how things are then.</p>\n"));
    page(headline, &html)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body style=\"{BODY}\">\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

fn heading(text: &str) -> String {
    format!("<h2 style=\"{H2}\">{}</h2>\n", escaped(text))
}

fn boxed(style: &str, subject: &str, words: &str, remedy: Option<&str>) -> String {
    let remedy =
        remedy.map(|remedy| format!("<br><span style=\"{QUIET}\">{}</span>", escaped(remedy))).unwrap_or_default();
    format!("<p style=\"{style}\"><strong>{}</strong><br>{}{remedy}</p>\n", escaped(subject), escaped(words))
}

fn list(title: &str, lines: &[String]) -> String {
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escaped(line))).collect();
    format!("{}<ul style=\"margin:0;padding-left:20px\">\n{items}</ul>\n", heading(title))
}

/// Cells are HTML already; nothing at all where there are no rows.
fn table(title: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads: String = heads.iter().map(|head| format!("<th style=\"{HEAD}\">{}</th>", escaped(head))).collect();
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("<td style=\"{CELL}\">{cell}</td>")).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!("{}<table style=\"{TABLE}\">\n<tr>{heads}</tr>\n{rows}</table>\n", heading(title))
}

/// Text that means nothing to a browser; what cannot be seen is left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' => safe.push_str("<br>"),
            control if control.is_control() => {}
            plain => safe.push(plain),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_wrote_stays_text() {
        let hostile = "<script>alert('x')</script>\u{0}\u{1b}[31m & \"more\"\n.";
        assert_eq!(escaped(hostile), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;[31m &amp; &quot;more&quot;<br>.");
    }
}
