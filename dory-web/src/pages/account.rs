//! One's own account.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use dory_core::domain::secret::Secret;
use maud::html;

use super::sign_in::{new_password, new_password_fields, own_path, password_field, set_cookie};
use crate::ask::{Ask, Who};
use crate::error::{Refusal, Reply};
use crate::gate::{see_other, session_cookie};
use crate::views::{Page, THEME_COOKIE, bits, head};

pub(crate) async fn show(ask: Ask) -> Reply {
    let Who::User { name, role, by_proxy, .. } = &ask.who else { return see_other("/sign-in") };
    let content = html! {
        (head(&[], &html! { (name) }, &bits::tag("", role.as_str())))
        @if ask.query.get("done").is_some() { div.note.good role="status" { p { "The password is changed. Other browsers were signed out." } } }
        @if *by_proxy {
            div.sheet { p { "A proxy in front of Dory signs you in. There is no password to change here." } }
        } @else {
            div.sheet {
                h2 { "Change the password" }
                form method="post" action="/account/password" {
                    (bits::csrf(&ask))
                    (password_field("now", "Password now", "current-password"))
                    (new_password_fields())
                    button.main { "Change the password" }
                }
            }
        }
    };
    Ok(Page::new("Account", "").show(&ask, &content))
}

pub(crate) async fn password(ask: Ask) -> Reply {
    let Who::User { name, by_proxy: false, .. } = &ask.who else {
        return Err(Refusal::new(StatusCode::CONFLICT, "a proxy signs you in: there is no password here").into());
    };
    let clock = ask.dory().clock().monotonic();
    let now = Secret::new(ask.form.raw("now").unwrap_or_default());
    let locked = ask.app.attempts.locked(name, ask.address, clock).is_some();
    if locked || ask.app.accounts.check(name, now).await?.is_none() {
        ask.app.attempts.failed(name, ask.address, clock);
        return Err(Refusal::new(StatusCode::FORBIDDEN, "the password you have now is another one").into());
    }
    let hash = ask.app.accounts.hash(new_password(&ask)?).await?;
    ask.app.accounts.change(|users| users.change(name, |user| user.password = Some(hash.clone()))).await?;
    ask.app.sessions.end_all_of(name, ask.cookie(session_cookie(ask.secure)));
    see_other("/account?done=1")
}

/// Remembers which theme somebody wants, in their browser.
pub(crate) async fn theme(ask: Ask) -> Reply {
    let theme = match ask.form.get("theme") {
        Some("dark") => "dark",
        _ => "light",
    };
    let mut response = Redirect::to(&own_path(ask.form.raw("back"))).into_response();
    set_cookie(&ask, &mut response, THEME_COOKIE, theme, 365 * 24 * 3600);
    Ok(response)
}
