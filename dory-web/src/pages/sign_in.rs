//! Coming in and going out.

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use dory_core::domain::secret::Secret;
use maud::{Markup, html};

use crate::ask::{Ask, Who};
use crate::error::{Refusal, Reply};
use crate::gate::{FORM_COOKIE, see_other, session_cookie};
use crate::sessions::random;
use crate::views::{Page, bits};

/// How long a browser shows its session at most, in seconds: the server forgets it no later.
const LONGEST: u32 = 7 * 24 * 3600;

pub(crate) async fn show(ask: Ask) -> Reply {
    let next = own_path(ask.query.raw("next"));
    if ask.who != Who::Nobody {
        return see_other(&next);
    }
    form_with(&ask, StatusCode::OK, |csrf| form(csrf, &next, "", None))
}

pub(crate) async fn enter(ask: Ask) -> Reply {
    let next = own_path(ask.form.raw("next"));
    let name = ask.form.get("name").unwrap_or_default().to_owned();
    let password = Secret::new(ask.form.raw("password").unwrap_or_default());
    let now = ask.dory().clock().monotonic();
    let attempts = &ask.app.attempts;
    if let Some(left) = attempts.locked(&name, ask.address, now) {
        let minutes = left.as_secs().div_ceil(60);
        let mut refusal = Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("there were too many wrong passwords: wait for {minutes} min"),
        );
        refusal.retry_after = Some(left.as_secs());
        return Err(refusal.into());
    }
    let Some(user) = ask.app.accounts.check(&name, password).await? else {
        if attempts.failed(&name, ask.address, now) {
            let from = Some(ask.address.to_string());
            ask.dory().record_audit("nobody", from, "guess passwords until locked out", &name, None).await?;
        }
        let wrong = Some("The name or the password is wrong.");
        return form_with(&ask, StatusCode::UNAUTHORIZED, |csrf| form(csrf, &next, &name, wrong));
    };
    attempts.succeeded(&name);
    let from = Some(ask.address.to_string());
    ask.dory().record_audit(user.name.as_str(), from, "sign in", "", None).await?;
    signed_in(&ask, user.name.as_str(), &next)
}

pub(crate) async fn leave(ask: Ask) -> Reply {
    let name = session_cookie(ask.secure);
    if let Some(shown) = ask.cookie(name) {
        ask.app.sessions.end(shown);
    }
    let mut response = Redirect::to("/sign-in").into_response();
    set_cookie(&ask, &mut response, name, "", 0);
    Ok(response)
}

/// Begins a session, and shows where somebody wanted to go.
pub(crate) fn signed_in(ask: &Ask, user: &str, next: &str) -> Reply {
    let shown = ask.app.sessions.begin(user, ask.dory().clock().monotonic())?;
    let mut response = Redirect::to(next).into_response();
    set_cookie(ask, &mut response, session_cookie(ask.secure), &shown, LONGEST);
    Ok(response)
}

/// A page with a form for those who are not signed in: what it carries stands in a cookie too, which only this server
/// can set and read.
pub(crate) fn form_with(ask: &Ask, status: StatusCode, content: impl FnOnce(&str) -> Markup) -> Reply {
    let known = ask.cookie(FORM_COOKIE).filter(|known| known.len() == 64).map(str::to_owned);
    let csrf = known.map_or_else(random, Ok)?;
    let mut response = Page::new("Sign in", "").show(ask, &content(&csrf));
    *response.status_mut() = status;
    set_cookie(ask, &mut response, FORM_COOKIE, &csrf, 3600);
    Ok(response)
}

/// Sets a cookie that no script reads and no other site sends.
pub(crate) fn set_cookie(ask: &Ask, response: &mut Response, name: &str, value: &str, seconds: u32) {
    let secure = if ask.secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// A path of this server's, whatever somebody put into a link.
pub(crate) fn own_path(text: Option<&str>) -> String {
    let is_own = |path: &&str| {
        path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && path.bytes().all(|byte| byte.is_ascii_graphic())
    };
    text.filter(is_own).unwrap_or("/").to_owned()
}

fn form(csrf: &str, next: &str, name: &str, wrong: Option<&str>) -> Markup {
    html! {
        div.narrow {
            div.sheet {
                h1 { "Sign in" }
                br;
                @if let Some(wrong) = wrong { div.note.bad role="alert" { p { (wrong) } } }
                form method="post" action="/sign-in" {
                    input type="hidden" name="csrf" value=(csrf);
                    input type="hidden" name="next" value=(next);
                    div.field {
                        label for="name" { "Name" }
                        input id="name" name="name" value=(name) autocomplete="username" required autofocus[name.is_empty()];
                    }
                    (password_field("password", "Password", "current-password"))
                    button.main { "Sign in" }
                }
            }
            p.quiet.small {
                "No account yet? Ask an admin. The first admin comes in by the link that " code { "dory serve" }
                " prints; " code { "dory serve --admin-link" } " prints one for who lost the password."
            }
        }
    }
}

/// A field for a password.
pub(crate) fn password_field(name: &str, label: &str, autocomplete: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) type="password" name=(name) autocomplete=(autocomplete) required maxlength="1024";
        }
    }
}

/// The two fields for a new password, whose contents must be the same.
pub(crate) fn new_password_fields() -> Markup {
    html! {
        (password_field("password", "Password", "new-password"))
        (password_field("again", "The same again", "new-password"))
        p.hint { "At least twelve characters. A few random words are easy to keep in mind." }
    }
}

/// A new password out of a form with [`new_password_fields`].
pub(crate) fn new_password(ask: &Ask) -> dory_core::Result<Secret> {
    let (password, again) = (ask.form.raw("password").unwrap_or_default(), ask.form.raw("again").unwrap_or_default());
    if password != again {
        return Err(dory_core::Error::invalid("password", "", "the two are not the same"));
    }
    Ok(Secret::new(password))
}

/// The token field and a button, in a form of its own.
pub(crate) fn button(ask: &Ask, action: &str, class: &str, words: &str) -> Markup {
    html! { form method="post" action=(action) { (bits::csrf(ask)) button class=(class) { (words) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_server() {
        for odd in ["https://evil.example", "//evil.example", "/\\evil", "javascript:alert(1)", "", "/a\nb", "/\u{fc}"]
        {
            assert_eq!(own_path(Some(odd)), "/", "{odd:?}");
        }
        assert_eq!(own_path(Some("/backups?q=x")), "/backups?q=x");
        assert_eq!(own_path(None), "/");
    }
}
