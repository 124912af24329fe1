//! How the first admin comes into being: by a link that only who started the server knows, once.

use std::sync::PoisonError;

use axum::http::StatusCode;
use dory_core::domain::id::UserName;
use dory_core::domain::user::{Role, User};
use dory_core::{Error, ErrorKind};
use maud::html;

use super::sign_in::{form_with, new_password, new_password_fields, signed_in};
use crate::ask::Ask;
use crate::error::{Failure, Refusal, Reply};
use crate::sessions::same;
use crate::views::bits;

pub(crate) async fn show(ask: Ask) -> Reply {
    check(&ask).await?;
    form_with(&ask, StatusCode::OK, |csrf| {
        html! {
            div.narrow { div.sheet {
                h1 { "Welcome to Dory" }
                br;
                p { "You are the first here. Choose a name and a password; you become an admin, and can add others." }
                form method="post" {
                    input type="hidden" name="csrf" value=(csrf);
                    (bits::field("name", "Name", "", "Letters, digits and what mail addresses hold."))
                    (new_password_fields())
                    button.main { "Become an admin" }
                }
            } }
        }
    })
}

pub(crate) async fn enter(ask: Ask) -> Reply {
    check(&ask).await?;
    let name = UserName::parse(ask.form.need("name")?)?;
    let password = ask.app.accounts.hash(new_password(&ask)?).await?;
    let user = User { name: name.clone(), role: Role::Admin, password: Some(password), created_at: ask.dory().now() };
    let link = ask.app.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let although = link.is_some_and(|link| link.although_there_is_one);
    let add = |users: &mut dory_core::domain::user::Users| {
        if users.has_admin() && !although {
            let reason = "there is an admin by now";
            return Err(Error::new(ErrorKind::Conflict, "become an admin", name.as_str(), reason).with_hint("sign in"));
        }
        users.add(user.clone())
    };
    ask.app.accounts.change(add).await?;
    *ask.app.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let from = Some(ask.address.to_string());
    ask.dory().record_audit(name.as_str(), from, "become an admin by the link", "", None).await?;
    signed_in(&ask, name.as_str(), "/")
}

async fn check(ask: &Ask) -> Result<(), Failure> {
    let link = ask.app.first_link().await?;
    if link.is_some_and(|token| same(&token, ask.param("token"))) {
        return Ok(());
    }
    let reason = "this link was used, or is not of the server's last start";
    Err(Refusal::new(StatusCode::NOT_FOUND, reason)
        .with_hint("sign in, or start `dory serve --admin-link` for a new one")
        .into())
}
