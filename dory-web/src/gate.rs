//! The only way to a handler: who asks, whether they may, whether the form is theirs; then what they did is kept.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use dory_core::domain::user::Role;

use crate::ask::{Ask, Who, cookie};
use crate::error::{Failure, Refusal, Reply};
use crate::fields::{Fields, link};
use crate::routes::{Need, Route};
use crate::server::Peer;
use crate::sessions::same;
use crate::state::App;
use crate::views;

/// The largest form or document that is read, in bytes.
pub(crate) const LARGEST_BODY: usize = 64 << 10;

/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(20);

/// How long an answer may take to begin: a helper must start to look into some repositories.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);

/// The cookie with what the forms carry of those who are not signed in.
pub(crate) const FORM_COOKIE: &str = "dory_form";

/// Everything a page may load: what this server serves as a file of its own.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                              form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The name of the cookie that a signed-in browser shows. With TLS, no other host can set it.
pub(crate) fn session_cookie(secure: bool) -> &'static str {
    if secure { "__Host-dory" } else { "dory_session" }
}

/// Refuses what is meant for another host, and sets the headers of every answer.
pub(crate) async fn frame(app: App, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().host()).unwrap_or_default().to_owned();
    let secure = is_secure(&app, request.headers(), peer(&request));
    let mut response = if app.options.answers_to(&host) {
        next.run(request).await
    } else {
        let reason = "this server does not answer to that host name\n";
        let hint = "set DORY_WEB_HOSTS to the names under which it is reached\n";
        (StatusCode::MISDIRECTED_REQUEST, format!("{reason}{hint}")).into_response()
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Another would take away the `Origin` by which forms are known.
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

/// Answers one request.
pub(crate) async fn answer(
    app: App,
    route: &'static Route,
    params: Vec<(String, String)>,
    request: Request,
) -> Response {
    let peer = peer(&request);
    let (parts, body) = request.into_parts();
    let mut ask = Ask {
        address: address_of(&app, &parts.headers, peer),
        secure: is_secure(&app, &parts.headers, peer),
        who: Who::Nobody,
        route,
        params,
        query: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
        form: Fields::default(),
        json: Bytes::new(),
        headers: parts.headers,
        uri: parts.uri,
        app,
    };
    let admitted = admit(&mut ask, peer, &parts.method, body).await;
    let is_admitted = admitted.is_ok();
    let reply = match admitted {
        Ok(()) => match tokio::time::timeout(ANSWER_WITHIN, (route.handler)(ask.clone())).await {
            Ok(reply) => reply,
            Err(_) => Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "this takes too long to wait for").into()),
        },
        Err(failure) => Err(failure),
    };
    if route.changes() && is_admitted {
        ask.app.look_anew().await;
    }
    if let Some(action) = route.audited
        && is_admitted
    {
        keep_record(&ask, action, reply.as_ref().err()).await;
    }
    match reply {
        Ok(response) => response,
        Err(failure) => render(&ask, failure),
    }
}

/// What becomes of a failure: a page for people, a document for programs.
pub(crate) fn render(ask: &Ask, failure: Failure) -> Response {
    let status = failure.status();
    if status.is_server_error() {
        tracing::warn!(path = ask.uri.path(), error = failure.words(), "a request failed");
    }
    if ask.route.is_api() {
        return failure.into_problem();
    }
    let wants_to_sign_in = status == StatusCode::UNAUTHORIZED && !ask.route.changes() && ask.who == Who::Nobody;
    if wants_to_sign_in {
        let next = ask.uri.path_and_query().map_or("/", |path| path.as_str());
        return Redirect::to(&link("/sign-in", &[("next", next)])).into_response();
    }
    let mut response = views::failure::page(ask, &failure);
    failure.mark(&mut response);
    response
}

async fn admit(ask: &mut Ask, peer: IpAddr, method: &Method, body: Body) -> Result<(), Failure> {
    ask.who = identify(ask, peer).await?;
    if let Need::Role(role) = ask.route.need {
        if ask.who == Who::Nobody {
            let what = if ask.route.is_api() {
                "a token is needed: `Authorization: Bearer dory_…`"
            } else {
                "sign in first"
            };
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, what).into());
        }
        ask.allow(role)?;
    }
    if !ask.route.changes() {
        return Ok(());
    }
    let kind = ask.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let expected = if ask.route.is_api() { "application/json" } else { "application/x-www-form-urlencoded" };
    let has_body = method != Method::DELETE && !(ask.route.is_api() && is_empty(&ask.headers));
    if has_body && kind != expected {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("`{expected}` is expected")).into());
    }
    let bytes = read(body).await?;
    if ask.route.is_api() {
        ask.json = bytes;
        return Ok(());
    }
    ask.form = Fields::parse(&bytes);
    is_own_form(ask).map_err(Into::into)
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    let too_large =
        || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {LARGEST_BODY} bytes are not read"));
    match tokio::time::timeout(BODY_WITHIN, axum::body::to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large().into()),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to come").into()),
    }
}

/// A page elsewhere can make a browser send a form here, with its cookies; it cannot know what our forms carry.
fn is_own_form(ask: &Ask) -> Result<(), Refusal> {
    let foreign = |what: &str| {
        Refusal::new(StatusCode::FORBIDDEN, format!("this form did not come from a page of this server: {what}"))
            .with_hint("open the page again and send the form from there")
    };
    let header = |name: &str| ask.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = header("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return Err(foreign("another site sent it"));
    }
    if let Some(origin) = header(ORIGIN.as_str()) {
        let host = header(HOST.as_str()).or_else(|| ask.uri.host()).unwrap_or_default();
        if origin.split_once("://").is_none_or(|(_, rest)| !rest.eq_ignore_ascii_case(host)) {
            return Err(foreign("another origin sent it"));
        }
    }
    let expected = match &ask.who {
        Who::User { csrf, .. } if ask.route.need != Need::Open => csrf.as_str(),
        _ => ask.cookie(FORM_COOKIE).unwrap_or_default(),
    };
    if !same(ask.form.raw("csrf").unwrap_or_default(), expected) {
        return Err(foreign("its token is missing, or from another session"));
    }
    Ok(())
}

async fn identify(ask: &Ask, peer: IpAddr) -> Result<Who, Failure> {
    let app = &ask.app;
    if ask.route.is_api() {
        let Some(text) = ask.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return Ok(Who::Nobody);
        };
        let wrong = || Refusal::new(StatusCode::UNAUTHORIZED, "there is no such token, or its time is over");
        let text = text.strip_prefix("Bearer ").ok_or_else(wrong)?;
        let users = app.accounts.users().await?;
        let token = users.token(text.trim(), app.dory.now()).ok_or_else(wrong)?;
        let maker = users.find(token.made_by.as_str()).map_or(token.scope, |maker| maker.role);
        return Ok(Who::Token { name: token.name.clone(), role: token.scope.min(maker) });
    }
    if ask.route.need == Need::Open && !ask.route.changes() && ask.route.path.starts_with("/assets") {
        return Ok(Who::Nobody);
    }
    if let Some(who) = named_by_proxy(ask, peer).await? {
        return Ok(who);
    }
    let Some(shown) = cookie(&ask.headers, session_cookie(ask.secure)) else { return Ok(Who::Nobody) };
    let Some(session) = app.sessions.find(shown, app.dory.clock().monotonic()) else { return Ok(Who::Nobody) };
    // Who was removed is out at once, whatever the browser shows.
    let users = app.accounts.users().await?;
    Ok(match users.find(&session.user) {
        Some(user) => Who::User { name: session.user, role: user.role, csrf: session.csrf, by_proxy: false },
        None => Who::Nobody,
    })
}

async fn named_by_proxy(ask: &Ask, peer: IpAddr) -> Result<Option<Who>, Failure> {
    let Some(trust) = ask.app.options.proxy.as_ref().filter(|trust| trust.addresses.contains(&peer)) else {
        return Ok(None);
    };
    let Some(header) = &trust.user_header else { return Ok(None) };
    let Some(name) = ask.headers.get(header).and_then(|name| name.to_str().ok()).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let users = ask.app.accounts.users().await?;
    let role: Option<Role> = users.find(name).map(|user| user.role).or(trust.role);
    let Some(role) = role else {
        let reason = format!("the proxy let `{name}` in, and Dory knows nobody of that name");
        let hint = "add the user on the page Users, or set DORY_WEB_PROXY_ROLE";
        return Err(Refusal::new(StatusCode::FORBIDDEN, reason).with_hint(hint).into());
    };
    let csrf = ask.app.sessions.csrf_of(name);
    Ok(Some(Who::User { name: name.to_owned(), role, csrf, by_proxy: true }))
}

async fn keep_record(ask: &Ask, action: &str, failure: Option<&Failure>) {
    let subject: Vec<&str> = ask.params.iter().map(|(_, value)| value.as_str()).collect();
    let named = ask.form.get("name").filter(|_| subject.is_empty());
    let subject = named.map_or_else(|| subject.join(" "), str::to_owned);
    let from = Some(ask.address.to_string());
    let error = failure.map(Failure::as_record);
    if let Err(error) = ask.dory().record_audit(&ask.who.name(), from, action, &subject, error).await {
        tracing::warn!(%error, action, "who did what could not be written down");
    }
}

/// Whose connection it is.
pub(crate) fn peer(request: &Request) -> IpAddr {
    let known = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    known.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Where a request comes from: the last address that a trusted proxy did not add itself.
fn address_of(app: &App, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let Some(trust) = app.options.proxy.as_ref().filter(|trust| trust.addresses.contains(&peer)) else { return peer };
    let all = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<IpAddr> = all.flat_map(|line| line.split(',')).filter_map(|hop| hop.trim().parse().ok()).collect();
    hops.into_iter().rev().find(|hop| !trust.addresses.contains(hop)).unwrap_or(peer)
}

fn is_secure(app: &App, headers: &HeaderMap, peer: IpAddr) -> bool {
    let trusted = app.options.proxy.as_ref().is_some_and(|trust| trust.addresses.contains(&peer));
    app.options.tls.is_some() || (trusted && headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https"))
}

fn is_empty(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.is_none_or(|length| length.trim() == "0") && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// A page that is there for whoever opens it, wherever they go from here.
pub(crate) fn see_other(path: &str) -> Reply {
    Ok(Redirect::to(path).into_response())
}
