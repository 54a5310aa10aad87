//! A browser as far as the story needs one: follows redirects, keeps cookies, sends the forms of our
//! own plain pages.

use std::collections::HashMap;

use http::{Method, StatusCode, header};
use url::Url;

use crate::base::{Problem, ProblemKind, Result, SecretValue};

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 10;

/// A browser with its own cookies.
pub struct Browser {
    client: reqwest::Client,
    /// By host and port, then by name.
    cookies: HashMap<String, HashMap<String, String>>,
}

/// A page that was reached.
pub struct Page {
    /// Where it is.
    pub url: Url,
    /// What it was answered with.
    pub status: StatusCode,
    /// Its text.
    pub text: String,
}

/// The first form of a page that is posted.
struct PostForm {
    action: Url,
    fields: Vec<(String, String)>,
}

impl Browser {
    /// A browser without any cookie.
    ///
    /// # Errors
    /// `internal` where no HTTP client can be made.
    pub fn new() -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(10))
            .build()
            .map_err(|error| Problem::internal(format!("no HTTP client can be made: {error}")))?;
        Ok(Self { client, cookies: HashMap::new() })
    }

    /// Signs in at `server` by `provider`, the development one, as the person called `login`.
    ///
    /// # Errors
    /// `sign-in-refused` with what the page said.
    pub async fn sign_in(
        &mut self,
        server: &Url,
        provider: &str,
        login: &str,
        secret: &SecretValue,
    ) -> Result<Page> {
        let start = server.join(&format!("sign-in/{provider}?return_to=/whoami")).map_err(no_url)?;
        let page = self.open(start).await?;
        let secret = secret.expose_text().unwrap_or_default();
        let page = self.submit(&page, &[("person", login), ("secret", secret)]).await?;
        if page.status.is_success() {
            return Ok(page);
        }
        Err(Problem::new(ProblemKind::SignInRefused, page.told()).with("status", page.status.as_u16()))
    }

    /// Opens an address and follows where it leads.
    ///
    /// # Errors
    /// `server-unavailable` where nobody answers.
    pub async fn open(&mut self, url: Url) -> Result<Page> {
        self.follow(Method::GET, url, None).await
    }

    /// Sends the form of a page with further fields, and follows where it leads.
    ///
    /// # Errors
    /// `not-found` where the page has no form; `server-unavailable` where nobody answers.
    pub async fn submit(&mut self, page: &Page, further: &[(&str, &str)]) -> Result<Page> {
        let (action, form) = filled(page, further)?;
        self.follow(Method::POST, action, Some(form)).await
    }

    /// Opens an address and says where it leads, without going there.
    ///
    /// # Errors
    /// `sign-in-refused` with what the page said where it leads nowhere; `server-unavailable`.
    pub async fn where_to(&mut self, url: Url) -> Result<Url> {
        let answer = self.once(Method::GET, &url, None).await?;
        left(url, answer).await
    }

    /// Sends the form of a page and says where it leads, without going there.
    ///
    /// # Errors
    /// As [`Self::where_to`]; `not-found` where the page has no form.
    pub async fn submit_to_leave(&mut self, page: &Page, further: &[(&str, &str)]) -> Result<Url> {
        let (action, form) = filled(page, further)?;
        let answer = self.once(Method::POST, &action, Some(form)).await?;
        left(action, answer).await
    }

    async fn follow(&mut self, method: Method, url: Url, form: Option<(String, String)>) -> Result<Page> {
        let (mut method, mut url, mut form) = (method, url, form);
        for _ in 0..MOST_REDIRECTS {
            let answer = self.once(method, &url, form.take()).await?;
            let Some(next) = location(&url, &answer)? else {
                let status = answer.status();
                return Ok(Page { url, status, text: answer.text().await.map_err(unreached)? });
            };
            (url, method) = (next, Method::GET);
        }
        Err(Problem::new(ProblemKind::ServerUnavailable, "redirected too often"))
    }

    async fn once(
        &mut self,
        method: Method,
        url: &Url,
        form: Option<(String, String)>,
    ) -> Result<reqwest::Response> {
        let mut request = self.client.request(method, url.clone());
        if let Some(cookies) = self.cookie_header(url) {
            request = request.header(header::COOKIE, cookies);
        }
        if let Some((body, origin)) = form {
            request = request
                .header(header::ORIGIN, origin)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body);
        }
        let answer = request.send().await.map_err(unreached)?;
        self.keep_cookies(url, answer.headers());
        Ok(answer)
    }

    fn cookie_header(&self, url: &Url) -> Option<String> {
        let cookies = self.cookies.get(url.authority()).filter(|cookies| !cookies.is_empty())?;
        Some(cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; "))
    }

    fn keep_cookies(&mut self, url: &Url, headers: &http::HeaderMap) {
        let jar = self.cookies.entry(url.authority().to_owned()).or_default();
        for cookie in headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let Some((name, value)) = pair.split_once('=') else { continue };
            if value.is_empty() || attributes.to_lowercase().contains("max-age=0") {
                jar.remove(name.trim());
            } else {
                jar.insert(name.trim().to_owned(), value.to_owned());
            }
        }
    }
}

/// The form of a page with further fields: where it goes, its body, and the origin that sends it.
fn filled(page: &Page, further: &[(&str, &str)]) -> Result<(Url, (String, String))> {
    let form = page.form().ok_or_else(|| Problem::not_found(format!("{} has no form", page.url.path())))?;
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    body.extend_pairs(further);
    Ok((form.action, (body.finish(), page.url.origin().ascii_serialization())))
}

/// Where an answer redirects to.
fn location(from: &Url, answer: &reqwest::Response) -> Result<Option<Url>> {
    let next = answer.headers().get(header::LOCATION).and_then(|next| next.to_str().ok());
    match next {
        Some(next) if answer.status().is_redirection() => from.join(next).map(Some).map_err(no_url),
        _ => Ok(None),
    }
}

async fn left(from: Url, answer: reqwest::Response) -> Result<Url> {
    if let Some(next) = location(&from, &answer)? {
        return Ok(next);
    }
    let status = answer.status();
    let page = Page { url: from, status, text: answer.text().await.map_err(unreached)? };
    Err(Problem::new(ProblemKind::SignInRefused, page.told()).with("status", status.as_u16()))
}

impl Page {
    fn form(&self) -> Option<PostForm> {
        let from = self.text.find("<form method=\"post\"")?;
        let form = &self.text[from..];
        let form = &form[..form.find("</form>")?];
        let action = unescape(attribute(form, "action")?);
        let fields = form
            .split("<input type=\"hidden\"")
            .skip(1)
            .filter_map(|input| {
                Some((unescape(attribute(input, "name")?), unescape(attribute(input, "value")?)))
            })
            .collect();
        Some(PostForm { action: self.url.join(&action).ok()?, fields })
    }

    /// What the page says, without its markup.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = String::new();
        let mut inside = true;
        let body = self.text.split_once("<main>").map_or(self.text.as_str(), |(_, body)| body);
        for c in body.chars() {
            match c {
                '<' => inside = false,
                '>' => inside = true,
                c if inside => told.push(c),
                _ => {}
            }
        }
        unescape(&told.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = format!(" {name}=\"");
    let value = &tag[tag.find(&start)? + start.len()..];
    Some(&value[..value.find('"')?])
}

/// Undoes the five escapes of our templates.
fn unescape(text: &str) -> String {
    [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn no_url(error: url::ParseError) -> Problem {
    Problem::invalid(format!("that is no address: {error}"))
}

fn unreached(error: reqwest::Error) -> Problem {
    Problem::new(ProblemKind::ServerUnavailable, format!("nobody answers: {}", error.without_url()))
}
