//! Somebody of the story: her browser, and her `portctl` with a home of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use port_control::dev::{browser::Browser, story::World as _};
use serde_json::Value;

use super::world::House;
use crate::support::program::{Answer, Portctl};

/// One of the five.
pub struct Person {
    pub login: &'static str,
    pub browser: Browser,
    pub portctl: Portctl,
    pub home: PathBuf,
}

impl Person {
    /// Somebody who has a browser and a terminal, and is not signed in.
    pub fn new(house: &House, login: &'static str) -> Result<Self> {
        let home = house.folder.path().join("homes").join(login);
        let portctl = Portctl::new(&home, &house.server.url, None)?;
        Ok(Self { login, browser: Browser::new().map_err(told)?, portctl, home })
    }

    /// Signs in for the first time, by browser and by `portctl login`.
    pub async fn signed_in(house: &House, login: &'static str) -> Result<Self> {
        let mut person = Self::new(house, login)?;
        let page = house.sign_in(&mut person.browser, login).await.map_err(told)?;
        ensure!(page.text.contains(&person.email()), "{login}'s own page names her: {}", page.text);
        person.log_in().await?;
        Ok(person)
    }

    /// `portctl login`, in a browser that is signed in.
    pub async fn log_in(&mut self) -> Result<()> {
        self.log_in_by(&["login"]).await
    }

    /// The same by these words.
    pub async fn log_in_by(&mut self, words: &[&str]) -> Result<()> {
        let mut child = self.portctl.spawn(&[words, &["--no-browser"]].concat())?;
        let mut said = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().parse();
        let page = self.browser.open(address.with_context(|| line.clone())?).await.map_err(told)?;
        let back = self.browser.submit_to_leave(&page, &[]).await.map_err(told)?;
        self.browser.open(back).await.map_err(told)?;
        let status = child.wait()?;
        let mut rest = String::new();
        said.read_to_string(&mut rest)?;
        ensure!(status.success(), "portctl login ended with {status}: {rest}");
        Ok(())
    }

    pub fn email(&self) -> String {
        format!("{}@example.com", self.login)
    }

    /// `portctl` with words that hold no spaces, to its end.
    pub fn says(&self, words: &str) -> Result<Answer> {
        self.portctl.run(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, which has to be done; its standard output.
    pub fn does(&self, words: &str) -> Result<String> {
        self.says(words)?.done().with_context(|| format!("{}: portctl {words}", self.login))
    }

    /// The same as JSON.
    pub fn reads(&self, words: &str) -> Result<Value> {
        let out = self.does(&format!("{words} --output json"))?;
        serde_json::from_str(&out).with_context(|| format!("portctl {words}: {out}"))
    }

    /// What `portctl` refuses: with this exit code, and this on standard error.
    pub fn fails(&self, words: &str, code: i32, what: &str) -> Result<()> {
        self.says(words)?.refused(code, what).with_context(|| format!("{}: portctl {words}", self.login))
    }

    /// Sets a secret from standard input.
    pub fn sets(&self, at: &str, value: &str) -> Result<Answer> {
        let answer = self.portctl.run_with(&["secret", "set", at], value.as_bytes())?;
        ensure!(answer.code == 0, "{} sets {at}: {}", self.login, answer.err);
        Ok(answer)
    }
}

/// A problem as an error of a test.
#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
pub fn told(problem: port_control::base::Problem) -> anyhow::Error {
    anyhow::anyhow!("{problem} {}", problem.remedy.as_deref().unwrap_or_default())
}
