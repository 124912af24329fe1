//! Small things that many pages show.

use dory_core::domain::restore_point::{Consistency, RestorePoint};
use dory_core::domain::user::Role;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::ask::Ask;
use crate::fields::Fields;
use crate::text;

/// The field that tells our forms from others'.
pub(crate) fn csrf(ask: &Ask) -> Markup {
    html! { input type="hidden" name="csrf" value=(ask.who.csrf()); }
}

/// A moment: how long ago, and exactly when one points at it.
pub(crate) fn moment(ask: &Ask, at: Timestamp) -> Markup {
    html! { time datetime=(at) title=(exact(ask, at)) data-age { (text::age(at, ask.dory().now())) } }
}

/// A moment, or a dash.
pub(crate) fn moment_or_dash(ask: &Ask, at: Option<Timestamp>) -> Markup {
    html! { @if let Some(at) = at { (moment(ask, at)) } @else { span.quiet { "–" } } }
}

/// `2026-11-23 05:50:12 CET`
pub(crate) fn exact(ask: &Ask, at: Timestamp) -> String {
    at.to_zoned(ask.dory().zone().clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// `2026-11-23 05:50`
pub(crate) fn minute(ask: &Ask, at: Timestamp) -> String {
    at.to_zoned(ask.dory().zone().clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

pub(crate) fn zone_name(ask: &Ask) -> String {
    ask.dory().zone().iana_name().map_or_else(|| "a fixed zone".to_owned(), str::to_owned)
}

/// A word that stands out; `tone` is `good`, `warn`, `bad` or nothing.
pub(crate) fn tag(tone: &str, words: &str) -> Markup {
    html! { span class={ "tag " (tone) } { (words) } }
}

/// What is to be known of a point at a glance.
pub(crate) fn point_tags(point: &RestorePoint) -> Markup {
    let grade = match point.consistency {
        Consistency::Stopped => "good",
        Consistency::Paused => "",
        Consistency::Live => "warn",
    };
    html! {
        (tag(grade, point.consistency.as_str()))
        @if point.is_suspect() { " " (tag("bad", "suspect")) }
        @if point.lost_data() { " " (tag("bad", "data missing")) }
        @if point.protected { " " (tag("", "protected")) }
        @if point.origin == dory_core::domain::restore_point::PointOrigin::Safety { " " (tag("", "safety point")) }
        @if point.deleting { " " (tag("warn", "being deleted")) }
    }
}

/// What is shown in place of an empty list.
pub(crate) fn empty(title: &str, words: &Markup) -> Markup {
    html! { div.empty { strong { (title) } p { (words) } } }
}

/// A labelled line of text.
pub(crate) fn field(name: &str, label: &str, value: &str, hint: &str) -> Markup {
    let (id, about) = (format!("field-{name}"), format!("hint-{name}"));
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) name=(name) value=(value) aria-describedby=[(!hint.is_empty()).then_some(&about)];
            @if !hint.is_empty() { span.hint id=(about) { (hint) } }
        }
    }
}

/// Labelled lines of text.
pub(crate) fn area(name: &str, label: &str, value: &str, hint: &str) -> Markup {
    let (id, about) = (format!("field-{name}"), format!("hint-{name}"));
    html! {
        div.field {
            label for=(id) { (label) }
            // A line break right behind the tag is not part of the text.
            textarea id=(id) name=(name) aria-describedby=[(!hint.is_empty()).then_some(&about)] { "\n" (value) }
            @if !hint.is_empty() { span.hint id=(about) { (hint) } }
        }
    }
}

/// A box to tick.
pub(crate) fn tick(name: &str, label: &str, is_ticked: bool) -> Markup {
    html! { div.field { label.tick { input type="checkbox" name=(name) checked[is_ticked]; (label) } } }
}

/// A choice of one.
pub(crate) fn choice(name: &str, label: &str, options: &[(&str, &str)], chosen: &str, at_once: bool) -> Markup {
    let id = format!("field-{name}");
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(name) data-submit[at_once] {
                @for (value, words) in options { option value=(value) selected[*value == chosen] { (words) } }
            }
        }
    }
}

/// The roles, for a choice.
pub(crate) fn roles() -> [(&'static str, &'static str); 3] {
    Role::ALL.map(|role| {
        let words = match role {
            Role::Viewer => "viewer: sees everything but what is in files",
            Role::Operator => "operator: backs up, restores, reads files, changes backups",
            Role::Admin => "admin: deletes, and says who may do what",
        };
        (role.as_str(), words)
    })
}

/// One page of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    /// From 1.
    pub(crate) page: usize,
    pub(crate) size: usize,
    pub(crate) all: usize,
}

impl Pages {
    /// The page that a query asks for, or the last one where there are not so many.
    pub(crate) fn of(query: &Fields, all: usize, size: usize) -> Self {
        let asked = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        Self { page: usize::clamp(asked, 1, all.div_ceil(size).max(1)), size, all }
    }

    /// What of a list is on it.
    pub(crate) fn cut<'a, T>(&self, list: &'a [T]) -> &'a [T] {
        let from = ((self.page - 1) * self.size).min(list.len());
        &list[from..(from + self.size).min(list.len())]
    }

    /// Links to the pages before and behind.
    pub(crate) fn links(&self, ask: &Ask) -> Markup {
        let last = self.all.div_ceil(self.size);
        let to = |page: usize| format!("?{}", ask.query.query_with(&[("page", &page.to_string())]));
        html! {
            @if last > 1 {
                nav.pages aria-label="Pages" {
                    @if self.page > 1 { a href=(to(self.page - 1)) rel="prev" { "Before" } }
                    span { "page " (self.page) " of " (last) ", " (self.all) " in all" }
                    @if self.page < last { a href=(to(self.page + 1)) rel="next" { "Next" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_there_is_the_last() {
        let list: Vec<usize> = (0..7).collect();
        let page = |asked: &str| Pages::of(&Fields::parse(format!("page={asked}").as_bytes()), 7, 3);
        assert_eq!(page("1").cut(&list), [0, 1, 2]);
        assert_eq!(page("3").cut(&list), [6]);
        assert_eq!(page("9").cut(&list), [6]);
        for odd in ["0", "-1", "x", ""] {
            assert_eq!(page(odd).cut(&list), [0, 1, 2], "{odd}");
        }
        assert_eq!(Pages::of(&Fields::default(), 0, 3).cut(&[0; 0]), [0; 0]);
    }
}
