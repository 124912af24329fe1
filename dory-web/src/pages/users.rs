//! Who may come in: people and programs.

use dory_core::domain::id::{TokenId, UserName};
use dory_core::domain::user::{ApiToken, Role, User};
use dory_core::{Error, Result};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::sign_in::button;
use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::views::{Page, bits, head, nothing};

pub(crate) async fn show(ask: Ask) -> Reply {
    page(&ask, None).await
}

pub(crate) async fn add(ask: Ask) -> Reply {
    let name = UserName::parse(ask.form.need("name")?)?;
    let role: Role = ask.form.need("role")?.parse()?;
    let password = match ask.form.raw("password").filter(|password| !password.is_empty()) {
        Some(password) => Some(ask.app.accounts.hash(dory_core::domain::secret::Secret::new(password)).await?),
        None => None,
    };
    let user = User { name, role, password, created_at: ask.dory().now() };
    ask.app.accounts.change(|users| users.add(user.clone())).await?;
    see_other("/users")
}

pub(crate) async fn role(ask: Ask) -> Reply {
    let role: Role = ask.form.need("role")?.parse()?;
    let name = ask.param("user").to_owned();
    ask.app.accounts.change(|users| users.change(&name, |user| user.role = role)).await?;
    see_other("/users")
}

pub(crate) async fn password(ask: Ask) -> Reply {
    let name = ask.param("user").to_owned();
    let hash = ask.app.accounts.hash(super::sign_in::new_password(&ask)?).await?;
    ask.app.accounts.change(|users| users.change(&name, |user| user.password = Some(hash.clone()))).await?;
    ask.app.sessions.end_all_of(&name, None);
    see_other("/users")
}

pub(crate) async fn remove(ask: Ask) -> Reply {
    let name = ask.param("user").to_owned();
    ask.app.accounts.change(|users| users.remove(&name)).await?;
    ask.app.sessions.end_all_of(&name, None);
    see_other("/users")
}

pub(crate) async fn make_token(ask: Ask) -> Reply {
    let name = ask.form.need("name")?.to_owned();
    if name.chars().count() > 64 || name.chars().any(char::is_control) {
        return Err(Error::invalid("name", name, "at most 64 visible characters are expected").into());
    }
    let scope: Role = ask.form.need("scope")?.parse()?;
    let expires_at = ask.form.get("days").map(|days| end_after(days, ask.dory().now())).transpose()?;
    let (id, text) = ask.dory().new_token()?;
    let made_by = UserName::parse(ask.who.name())?;
    let token = ApiToken { id, name, scope, hash: ApiToken::hash_of(text.expose()), made_by, expires_at };
    ask.app
        .accounts
        .change(|users| {
            users.tokens.push(token.clone());
            Ok(())
        })
        .await?;
    page(&ask, Some(text.expose())).await
}

pub(crate) async fn revoke_token(ask: Ask) -> Reply {
    let id = TokenId::parse(ask.param("token"))?;
    ask.app.accounts.change(|users| users.revoke(id)).await?;
    see_other("/users")
}

fn end_after(days: &str, now: Timestamp) -> Result<Timestamp> {
    let allowed = || Error::invalid("days", days, "a number from 1 to 3650 is allowed");
    let days: i64 = days.parse().ok().filter(|days| (1..=3650).contains(days)).ok_or_else(allowed)?;
    now.checked_add(SignedDuration::from_hours(days * 24)).map_err(|_| allowed())
}

async fn page(ask: &Ask, made: Option<&str>) -> Reply {
    let users = ask.app.accounts.users().await?;
    let keeps = ask.dory().can_keep_users().await?;
    let content = html! {
        (head(&[], &html! { "Users" }, &nothing()))
        @if !keeps {
            div.note.warn { p { "This store has no passphrase, so whoever can write to it could add themselves. Users and tokens are therefore kept in memory, and are gone when this server ends." } }
        }
        @if let Some(text) = made {
            div.note.good role="status" {
                p { strong { "The new token. " } "It is shown this once; only its hash is kept." }
                pre { (text) }
            }
        }
        div.sheet.flush {
            h2 { "People" }
            div.wide tabindex="0" role="region" aria-label="People" { table {
                thead { tr { th { "Name" } th { "Role" } th.minor { "Since" } th { "Password" } th {} } }
                tbody { @for user in &users.users { (person(ask, user)) } }
            } }
        }
        div.sheet {
            h2 { "Add somebody" }
            form method="post" action="/users" {
                (bits::csrf(ask))
                (bits::field("name", "Name", "", "As a proxy in front names them, where one signs people in."))
                (bits::choice("role", "Role", &bits::roles(), "viewer", false))
                div.field {
                    label for="new-password" { "First password" }
                    input id="new-password" type="password" name="password" autocomplete="new-password" maxlength="1024";
                    span.hint { "At least twelve characters. None for who comes through a proxy." }
                }
                button.main { "Add" }
            }
        }
        div.sheet.flush {
            h2 { "Tokens for programs" }
            @if users.tokens.is_empty() {
                (bits::empty("No token yet", &html! { "A program shows one to " code { "/api/v1" } ": " code { "Authorization: Bearer dory_…" } }))
            } @else {
                div.wide tabindex="0" role="region" aria-label="Tokens" { table {
                    thead { tr { th { "Name" } th { "Scope" } th.minor { "Made" } th { "Until" } th {} } }
                    tbody { @for token in &users.tokens {
                        tr {
                            td.name { (token.name) }
                            td { (token.scope.scope()) }
                            td.minor { (bits::moment(ask, token.id.made_at())) " by " (token.made_by) }
                            td { @match token.expires_at { Some(at) => { (bits::moment(ask, at)) }, None => { "for good" } } }
                            td.number { (button(ask, &format!("/tokens/{}/revoke", token.id), "danger small-button", "Revoke")) }
                        }
                    } }
                } }
            }
        }
        div.sheet {
            h2 { "Make a token" }
            form method="post" action="/tokens" {
                (bits::csrf(ask))
                (bits::field("name", "What it is for", "", ""))
                (bits::choice("scope", "Scope", &[("read", "read: what a viewer sees"), ("operate", "operate: what an operator does"), ("admin", "admin: everything")], "read", false))
                (bits::field("days", "For how many days", "90", "Empty for good."))
                button.main { "Make a token" }
            }
        }
    };
    Ok(Page::new("Users", "/users").show(ask, &content))
}

fn person(ask: &Ask, user: &User) -> Markup {
    let path = format!("/users/{}", user.name);
    html! {
        tr {
            td.name { (user.name) }
            td {
                form.row method="post" action={ (path) "/role" } {
                    (bits::csrf(ask))
                    select name="role" aria-label={ "Role of " (user.name) } {
                        @for role in Role::ALL { option value=(role) selected[role == user.role] { (role) } }
                    }
                    button.small-button { "Set" }
                }
            }
            td.minor { (bits::moment(ask, user.created_at)) }
            td {
                details {
                    summary { @if user.password.is_some() { "set" } @else { "none: by proxy" } }
                    form method="post" action={ (path) "/password" } {
                        (bits::csrf(ask))
                        div.field { input type="password" name="password" aria-label="New password" autocomplete="new-password" required; }
                        div.field { input type="password" name="again" aria-label="The same again" autocomplete="new-password" required; }
                        button.small-button { "Set and sign out" }
                    }
                }
            }
            td.number { (button(ask, &format!("{path}/remove"), "danger small-button", "Remove")) }
        }
    }
}
