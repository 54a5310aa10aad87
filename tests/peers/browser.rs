//! What a browser does on pages without script: keep cookies, follow redirects, send forms.

use std::{collections::BTreeMap, sync::Mutex};

use anyhow::{Context, Result, bail};
use reqwest::{
    Method, StatusCode,
    header::{COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE},
};
use url::Url;

/// One person's browser: its cookies are what makes it hers.
pub struct Browser {
    http: reqwest::Client,
    /// By origin, so that the product and its provider, both on loopback, do not read each other's;
    /// then by name and path.
    cookies: Mutex<BTreeMap<(String, String, String), String>>,
}

/// An answer, not yet followed where it redirects.
pub struct Page {
    /// Where it came from.
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Browser {
    pub fn new() -> Result<Self> {
        Ok(Self { http: super::http(None)?, cookies: Mutex::default() })
    }

    /// Asks for a page and follows no redirect.
    pub async fn get(&self, url: &Url) -> Result<Page> {
        self.send(Method::GET, url, None).await
    }

    /// Sends a form and follows no redirect.
    pub async fn post(&self, url: &Url, fields: &[(String, String)]) -> Result<Page> {
        self.send(Method::POST, url, Some(fields)).await
    }

    /// Asks for a page and follows redirects as far as they stay at its origin: the page, or where it
    /// would go next.
    pub async fn follow(&self, url: &Url) -> Result<Page> {
        let page = self.get(url).await?;
        self.follow_from(page).await
    }

    /// Follows on from a page, within its origin.
    pub async fn follow_from(&self, mut page: Page) -> Result<Page> {
        for _ in 0..20 {
            match page.next() {
                Some(next) if next.origin() == page.url.origin() => page = self.get(&next).await?,
                _ => return Ok(page),
            }
        }
        bail!("{} redirects in circles", page.url)
    }

    /// Sends the form of a page: its hidden fields and these.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Result<Page> {
        let action = page.form().with_context(|| format!("there is no form on {}", page.url))?;
        let mut all = page.hidden_fields();
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(&action, &all).await
    }

    /// Signs in at the provider as `person`, from the address that the product redirected to, and gives
    /// the address at the product that the provider sends the browser back to, without going there.
    pub async fn sign_in(&self, authorize: &Url, person: &str) -> Result<Url> {
        let mut page = self.follow(authorize).await?;
        // The login, consent where the client insists, and a step up are one page each.
        for _ in 0..4 {
            if let Some(back) = page.next() {
                return Ok(back);
            }
            if page.body.contains(r#"role="alert""#) || page.form().is_none() {
                bail!("{person} could not sign in at {}: {} {}", page.url, page.status, page.body);
            }
            let login = [("login", person)];
            let fields = if page.body.contains(r#"name="login""#) { &login[..] } else { &[] };
            page = self.submit(&page, fields).await?;
            page = self.follow_from(page).await?;
        }
        page.next().with_context(|| format!("the provider does not let {person} go: {}", page.body))
    }

    /// Confirms a sign-out at the provider and gives where it sends the browser, if anywhere.
    pub async fn sign_out(&self, end_session: &Url) -> Result<Option<Url>> {
        let page = self.follow(end_session).await?;
        if page.form().is_none() {
            return Ok(page.next());
        }
        let sent = self.submit(&page, &[("logout", "yes")]).await?;
        Ok(self.follow_from(sent).await?.next())
    }

    /// The value of a cookie that this browser would send to `url`.
    pub fn cookie(&self, url: &Url, name: &str) -> Option<String> {
        self.cookies_for(url).into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.cookies.lock().expect("nobody panics with it").clear();
    }

    async fn send(&self, method: Method, url: &Url, form: Option<&[(String, String)]>) -> Result<Page> {
        let mut request = self.http.request(method, url.clone());
        let cookies: Vec<String> =
            self.cookies_for(url).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(fields) = form {
            // A browser says with a form where its page came from.
            request = request.form(fields).header(ORIGIN, url.origin().ascii_serialization());
        }
        let response = request.send().await.with_context(|| format!("{url} did not answer"))?;
        self.keep(url, response.headers());
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Page { url: url.clone(), status, headers, body: response.text().await? })
    }

    fn cookies_for(&self, url: &Url) -> Vec<(String, String)> {
        let origin = url.origin().ascii_serialization();
        let cookies = self.cookies.lock().expect("nobody panics with it");
        let fitting = cookies.iter().filter(|((o, _, path), _)| *o == origin && below(url.path(), path));
        fitting.map(|((_, name, _), value)| (name.clone(), value.clone())).collect()
    }

    fn keep(&self, url: &Url, headers: &HeaderMap) {
        let origin = url.origin().ascii_serialization();
        let mut cookies = self.cookies.lock().expect("nobody panics with it");
        for header in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Some(cookie) = Cookie::read(header) else { continue };
            let key = (origin.clone(), cookie.name.to_owned(), cookie.path.to_owned());
            if cookie.over {
                cookies.remove(&key);
            } else {
                cookies.insert(key, cookie.value.to_owned());
            }
        }
    }
}

struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    path: &'a str,
    over: bool,
}

impl<'a> Cookie<'a> {
    fn read(header: &'a str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = Self { name, value, path: "/", over: value.is_empty() };
        for (attribute, value) in parts.map(|part| part.split_once('=').unwrap_or((part, ""))) {
            match attribute.to_ascii_lowercase().as_str() {
                "path" => cookie.path = value,
                // To delete one, servers let it end in 1970 or now.
                "expires" => cookie.over |= value.contains("1970"),
                "max-age" => cookie.over |= value.parse().is_ok_and(|seconds: i64| seconds <= 0),
                _ => {}
            }
        }
        Some(cookie)
    }
}

/// RFC 6265, 5.1.4.
fn below(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie.ends_with('/'))
}

impl Page {
    /// Where it redirects to.
    pub fn next(&self) -> Option<Url> {
        if !self.status.is_redirection() {
            return None;
        }
        self.url.join(self.headers.get(LOCATION)?.to_str().ok()?).ok()
    }

    /// Where its first form is sent to.
    pub fn form(&self) -> Option<Url> {
        let tag = tags(&self.body, "form").next()?;
        self.url.join(&attribute(tag, "action").unwrap_or_default()).ok()
    }

    /// What its forms send without being asked, CSRF tokens above all.
    pub fn hidden_fields(&self) -> Vec<(String, String)> {
        let hidden = |tag: &&str| attribute(tag, "type").as_deref() == Some("hidden");
        let field = |tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()));
        tags(&self.body, "input").filter(hidden).filter_map(field).collect()
    }
}

/// The inside of each `<name …>`. Enough for pages that are written by hand and have no script.
fn tags<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!("<{name} ");
    let starts: Vec<usize> = html.match_indices(&opening).map(|(at, found)| at + found.len()).collect();
    starts.into_iter().filter_map(move |at| html[at..].split_once('>').map(|(inside, _)| inside))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let opening = format!("{name}=\"");
    let spaced = format!(" {tag}");
    let at = spaced.find(&format!(" {opening}"))? + opening.len() + 1;
    let value = spaced[at..].split_once('"')?.0;
    Some(value.replace("&quot;", "\"").replace("&#39;", "'").replace("&#x2F;", "/").replace("&amp;", "&"))
}
