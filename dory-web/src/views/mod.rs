//! What every page has around it.

pub(crate) mod bits;
pub(crate) mod chart;
pub(crate) mod failure;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use dory_core::domain::user::Role;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::ask::{Ask, Who};
use crate::assets::{ICON, SCRIPT, STYLE};

/// The cookie with the theme that somebody chose.
pub(crate) const THEME_COOKIE: &str = "dory_theme";

/// The sections of the top bar: path, name, and who sees it.
const SECTIONS: [(&str, &str, Role); 7] = [
    ("/", "Overview", Role::Viewer),
    ("/backups", "Backups", Role::Viewer),
    ("/containers", "Containers", Role::Viewer),
    ("/runs", "Runs", Role::Viewer),
    ("/servers", "Servers", Role::Viewer),
    ("/users", "Users", Role::Admin),
    ("/audit", "Audit", Role::Admin),
];

/// A page: what stands in its title, and to which section it belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) section: &'a str,
    /// After how many seconds a browser without scripts asks again.
    pub(crate) refresh: Option<u32>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(title: &'a str, section: &'a str) -> Self {
        Self { title, section, refresh: None }
    }

    /// The page with `content` in it.
    pub(crate) fn show(self, ask: &Ask, content: &Markup) -> Response {
        let theme = ask.cookie(THEME_COOKIE).filter(|theme| ["light", "dark"].contains(theme));
        let page = html! {
            (DOCTYPE)
            html lang="en" data-theme=[theme] {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " · Dory" }
                    link rel="stylesheet" href=(STYLE.path());
                    link rel="icon" type="image/svg+xml" href=(ICON.path());
                    @if let Some(seconds) = self.refresh {
                        noscript { meta http-equiv="refresh" content=(seconds); }
                    }
                    script src=(SCRIPT.path()) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (top(ask, self.section, theme))
                    p #offline .note.warn hidden role="status" { "This server does not answer at the moment. What it was doing goes on without this page." }
                    main #main { (content) }
                    (foot(ask))
                }
            }
        };
        ([(CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
    }
}

fn top(ask: &Ask, section: &str, theme: Option<&str>) -> Markup {
    html! {
        header.top { div {
            a.brand href="/" { img src=(ICON.path()) alt=""; "Dory" }
            @if let Who::User { name, role, by_proxy, .. } = &ask.who {
                nav aria-label="Sections" {
                    @for (path, title, _) in SECTIONS.into_iter().filter(|(_, _, needed)| role >= needed) {
                        a href=(path) aria-current=[(path == section).then_some("page")] { (title) }
                    }
                }
                div.who {
                    a href="/account" { (name) }
                    span.tag { (role) }
                    form method="post" action="/theme" {
                        (bits::csrf(ask))
                        input type="hidden" name="back" value=(ask.uri.path_and_query().map_or("/", |path| path.as_str()));
                        @let other = if theme == Some("dark") { "light" } else { "dark" };
                        button.plain name="theme" value=(other) title={ "Use the " (other) " theme" } { (other) }
                    }
                    @if !by_proxy {
                        form method="post" action="/sign-out" { (bits::csrf(ask)) button.plain { "Sign out" } }
                    }
                }
            }
        } }
    }
}

fn foot(ask: &Ask) -> Markup {
    html! {
        footer {
            "Dory " (env!("CARGO_PKG_VERSION"))
            @if ask.who != Who::Nobody {
                " on " (ask.dory().server()) " · times in " (bits::zone_name(ask)) " · "
                time datetime=(ask.dory().now()) { (bits::exact(ask, ask.dory().now())) }
            }
        }
    }
}

/// A form's or a page's head: where one is, what it is, what can be done.
pub(crate) fn head(crumbs: &[(&str, &str)], title: &Markup, actions: &Markup) -> Markup {
    html! {
        @if !crumbs.is_empty() {
            nav.crumbs aria-label="Where this is" {
                @for (path, name) in crumbs { a href=(path) { (name) } " / " }
            }
        }
        div.head { h1 { (title) } div.row { (actions) } }
    }
}

/// Nothing.
pub(crate) fn nothing() -> Markup {
    PreEscaped(String::new())
}
