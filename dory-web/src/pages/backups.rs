//! The list of all backups: filtered, searched and sorted by plain links.

use std::cmp::Ordering;

use maud::{Markup, html};

use crate::ask::Ask;
use crate::error::Reply;
use crate::fields::Fields;
use crate::look::{Look, Row};
use crate::text;
use crate::views::{Page, bits, head, nothing};

/// How many are on a page.
pub(crate) const SIZE: usize = 50;

/// The columns that can be sorted by: name in the query, heading, whether it is left out on a phone, whether the largest
/// comes first.
const COLUMNS: [(&str, &str, bool, bool); 9] = [
    ("name", "Backup", false, false),
    ("server", "Server", true, false),
    ("size", "Size", false, true),
    ("stored", "Stored", true, true),
    ("points", "Points", true, true),
    ("oldest", "Oldest", true, false),
    ("latest", "Latest", false, true),
    ("first", "Since", true, false),
    ("next", "Next run", true, false),
];

pub(crate) async fn show(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let rows = chosen(&look, &ask.query);
    let pages = bits::Pages::of(&ask.query, rows.len(), SIZE);
    let content = html! {
        (head(&[], &html! { "Backups" }, &nothing()))
        (filter(&ask, &look))
        @for error in look.damaged.iter().take(3) { div.note.bad { p { (error) } } }
        div.sheet.flush {
            @if look.rows.is_empty() {
                (bits::empty("No backup yet", &html! { "The first one is a click away on the page " a href="/containers" { "Containers" } "." }))
            } @else if rows.is_empty() {
                (bits::empty("Nothing fits", &html! { "No backup fits what you asked for. " a href="/backups" { "Show all " (look.rows.len()) } "." }))
            } @else {
                div.wide tabindex="0" role="region" aria-label="Backups" { table {
                    thead { tr {
                        @for column in COLUMNS { (heading(&ask.query, column)) }
                        th.minor { "Stop window" }
                    } }
                    tbody { @for row in pages.cut(&rows) { (line(&ask, row)) } }
                } }
                (pages.links(&ask))
            }
        }
    };
    Ok(Page::new("Backups", "/backups").show(&ask, &content))
}

/// The rows that a query asks for, in its order.
pub(crate) fn chosen<'a>(look: &'a Look, query: &Fields) -> Vec<&'a Row> {
    let words: Vec<String> = query.get("q").unwrap_or_default().split_whitespace().map(str::to_lowercase).collect();
    let server = query.get("server");
    let shows = |row: &&Row| match query.get("show") {
        Some("attention") => !row.troubles.is_empty(),
        Some("orphaned") => row.orphaned == Some(true),
        Some("marked") => row.backup.is_marked(),
        Some("scheduled") => row.next.is_some(),
        _ => true,
    };
    let fits = |row: &&Row| {
        server.is_none_or(|server| row.backup.server.as_str() == server)
            && words.iter().all(|word| row.text.contains(word))
    };
    let mut rows: Vec<&Row> = look.rows.iter().filter(shows).filter(fits).collect();
    let sort = query.get("sort").unwrap_or("name");
    let falls = query.get("order").map_or_else(|| falls_by_default(sort), |order| order == "down");
    rows.sort_by(|a, b| {
        let order = compare(sort, a, b);
        let order = if falls { order.reverse() } else { order };
        order.then_with(|| (&a.backup.name, &a.backup.id).cmp(&(&b.backup.name, &b.backup.id)))
    });
    rows
}

fn falls_by_default(sort: &str) -> bool {
    COLUMNS.iter().any(|(name, _, _, falls)| *name == sort && *falls)
}

fn compare(sort: &str, a: &Row, b: &Row) -> Ordering {
    // What has none comes behind what has.
    let by_time = |a: Option<jiff::Timestamp>, b: Option<jiff::Timestamp>| (a.is_none(), a).cmp(&(b.is_none(), b));
    match sort {
        "server" => a.backup.server.cmp(&b.backup.server),
        "size" => a.bytes.cmp(&b.bytes),
        "stored" => a.stored_bytes.cmp(&b.stored_bytes),
        "points" => a.backup.points.len().cmp(&b.backup.points.len()),
        "oldest" => by_time(a.oldest, b.oldest),
        "latest" => a.latest.cmp(&b.latest),
        "first" => a.backup.created_at.cmp(&b.backup.created_at),
        "next" => by_time(a.next, b.next),
        _ => a.backup.name.cmp(&b.backup.name),
    }
}

fn heading(query: &Fields, (name, title, is_minor, falls): (&str, &str, bool, bool)) -> Markup {
    let current = query.get("sort").unwrap_or("name") == name;
    let is_falling = query.get("order").map_or(falls, |order| order == "down");
    let turned = if current { if is_falling { "up" } else { "down" } } else { "" };
    let to = query.query_with(&[("sort", name), ("order", turned), ("page", "")]);
    let sorted = current.then_some(if is_falling { "descending" } else { "ascending" });
    let class = format!(
        "{}{}",
        if is_minor { "minor " } else { "" },
        if ["size", "stored", "points"].contains(&name) { "number" } else { "" }
    );
    html! {
        th class=(class) aria-sort=[sorted] {
            a href={ "?" (to) } { (title) @if current { @if is_falling { " ↓" } @else { " ↑" } } }
        }
    }
}

fn filter(ask: &Ask, look: &Look) -> Markup {
    let query = &ask.query;
    let mut servers: Vec<&str> = look.rows.iter().map(|row| row.backup.server.as_str()).collect();
    servers.sort_unstable();
    servers.dedup();
    let mut choices = vec![("", "every server")];
    choices.extend(servers.iter().map(|server| (*server, *server)));
    let shows = [
        ("", "all"),
        ("attention", "what needs attention"),
        ("orphaned", "orphaned"),
        ("marked", "marked"),
        ("scheduled", "scheduled"),
    ];
    html! {
        form.bar method="get" action="/backups" role="search" {
            (bits::field("q", "Search", query.raw("q").unwrap_or_default(), ""))
            @if servers.len() > 1 { (bits::choice("server", "On", &choices, query.get("server").unwrap_or_default(), true)) }
            (bits::choice("show", "Show", &shows, query.get("show").unwrap_or_default(), true))
            @if let Some(sort) = query.get("sort") { input type="hidden" name="sort" value=(sort); }
            @if let Some(order) = query.get("order") { input type="hidden" name="order" value=(order); }
            button { "Find" }
        }
    }
}

fn line(ask: &Ask, row: &Row) -> Markup {
    let backup = &row.backup;
    html! {
        tr {
            td {
                a.name href={ "/backups/" (backup.id) } { (text::short(&backup.name, 80)) }
                @for trouble in &row.troubles { " " span class={ "tag " (trouble.tone) } title=(trouble.words) { (trouble.tag) } }
                @if !backup.is_marked() { " " (bits::tag("", "not marked")) }
                div.quiet.small {
                    (backup.identity.container)
                    @if let Some(seen) = backup.container() { " · " span.mono title=(seen.id) { (seen.id.short()) } }
                    @if let Some(point) = backup.latest() { " · " (point.engine) }
                }
                @if let Some(description) = &backup.description { div.quiet.small { (text::short(description, 120)) } }
            }
            td.minor { (backup.server) }
            td.number { (text::bytes(row.bytes)) }
            td.number.minor { (text::bytes(row.stored_bytes)) }
            td.number.minor { (backup.points.len()) }
            td.minor { (bits::moment_or_dash(ask, row.oldest)) }
            td { (bits::moment_or_dash(ask, row.latest)) }
            td.minor { (bits::moment(ask, backup.created_at)) }
            td.minor { (bits::moment_or_dash(ask, row.next)) }
            td.minor.nowrap { @match row.stop_window { Some(window) => { (text::duration(window)) }, None => { span.quiet { "–" } } } }
        }
    }
}
