//! Which environment, which secret: `APPLICATION/ENVIRONMENT[@TEAM][/NAME]`, or flags and defaults.

use clap::Args;

use super::{
    Context,
    settings::{Origin, Settings},
};
use crate::base::{EnvironmentRef, LeaseRef, Name, Problem, Result, SecretName, SecretRef};

/// The flags that say where.
#[derive(Clone, Debug, Default, Args)]
pub struct WhereArgs {
    /// The application; else PORTCTL_APPLICATION, else `application` in portctl.toml.
    #[arg(short = 'a', long, visible_alias = "app", value_name = "NAME")]
    application: Option<String>,
    /// The environment; else PORTCTL_ENVIRONMENT, else `environment` in portctl.toml.
    #[arg(short = 'e', long, visible_alias = "env", value_name = "NAME")]
    environment: Option<String>,
    /// Whose copy, where each team has its own.
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
}

/// An environment.
#[derive(Clone, Debug, Default, Args)]
pub struct EnvironmentArgs {
    /// `APPLICATION/ENVIRONMENT[@TEAM]`; or say it by flags.
    #[arg(value_name = "APPLICATION/ENVIRONMENT")]
    target: Option<String>,
    #[command(flatten)]
    place: WhereArgs,
}

/// A secret.
#[derive(Clone, Debug, Args)]
pub struct SecretArgs {
    /// `APPLICATION/ENVIRONMENT[@TEAM]/NAME`; or NAME alone where flags or defaults say the rest.
    #[arg(value_name = "SECRET")]
    pub target: String,
    #[command(flatten)]
    place: WhereArgs,
}

/// A role of an engine.
#[derive(Clone, Debug, Args)]
pub struct RoleArgs {
    /// `APPLICATION/ENVIRONMENT/ROLE`; or ROLE alone where flags or defaults say the rest.
    #[arg(value_name = "ROLE")]
    target: String,
    #[command(flatten)]
    place: WhereArgs,
}

/// An environment, and whether nobody named it this time.
struct Found {
    at: EnvironmentRef,
    silent: bool,
}

impl EnvironmentArgs {
    /// The environment of a text and of flags.
    #[must_use]
    pub fn of(target: String, secret: &SecretArgs) -> Self {
        Self { target: Some(target), place: secret.place.clone() }
    }

    /// The environment that is meant.
    ///
    /// # Errors
    /// `invalid-request` where it is not said, said twice, or a protected default.
    pub async fn resolve(&self, context: &Context) -> Result<EnvironmentRef> {
        let found = match &self.target {
            Some(text) => self.place.check(text.parse().map_err(usage)?)?,
            None => self.place.fill(context.settings())?,
        };
        guard(context, found).await
    }
}

impl SecretArgs {
    /// The secret that is meant.
    ///
    /// # Errors
    /// As [`EnvironmentArgs::resolve`].
    pub async fn resolve(&self, context: &Context) -> Result<SecretRef> {
        let (found, name) = self.find(context.settings())?;
        Ok(SecretRef { environment: guard(context, found).await?, name })
    }

    fn find(&self, settings: &Settings) -> Result<(Found, SecretName)> {
        if self.target.contains('/') {
            let secret: SecretRef = self.target.parse().map_err(usage)?;
            return Ok((self.place.check(secret.environment)?, secret.name));
        }
        Ok((self.place.fill(settings)?, self.target.parse().map_err(usage)?))
    }
}

impl RoleArgs {
    /// The role that is meant.
    ///
    /// # Errors
    /// As [`EnvironmentArgs::resolve`].
    pub async fn resolve(&self, context: &Context) -> Result<LeaseRef> {
        let (found, role) = self.find(context.settings())?;
        Ok(LeaseRef { environment: guard(context, found).await?, role })
    }

    fn find(&self, settings: &Settings) -> Result<(Found, Name)> {
        if self.target.contains('/') {
            let role: LeaseRef = self.target.parse().map_err(usage)?;
            return Ok((self.place.check(role.environment)?, role.role));
        }
        Ok((self.place.fill(settings)?, self.target.parse().map_err(usage)?))
    }
}

impl WhereArgs {
    /// Holds what was written out against the flags.
    fn check(&self, mut at: EnvironmentRef) -> Result<Found> {
        let same =
            |flag: &Option<String>, name: &Name| flag.as_ref().is_none_or(|flag| flag == name.as_str());
        if !same(&self.application, &at.application) || !same(&self.environment, &at.environment) {
            return Err(usage(format!("'{at}' and the flags name different environments")));
        }
        if let Some(team) = &self.team {
            let team: Name = team.parse().map_err(usage)?;
            if at.team.as_ref().is_some_and(|named| *named != team) {
                return Err(usage(format!("'{at}' and --team name different copies")));
            }
            at.team = Some(team);
        }
        Ok(Found { at, silent: false })
    }

    /// Takes what the flags do not say from variables and `portctl.toml`.
    fn fill(&self, settings: &Settings) -> Result<Found> {
        let application = match &self.application {
            Some(name) => Some(name.clone()),
            None => settings.application()?,
        };
        let (environment, origin) = match &self.environment {
            Some(name) => (Some(name.clone()), None),
            None => settings.environment()?.map_or((None, None), |(name, origin)| (Some(name), Some(origin))),
        };
        let (Some(application), Some(environment)) = (application, environment) else {
            return Err(usage("it is not said which environment of which application".to_owned()));
        };
        // A default may name a team's copy, too: sandbox@supa-team.
        let at: EnvironmentRef = format!("{application}/{environment}").parse().map_err(usage)?;
        let mut found = Self { team: self.team.clone(), ..Self::default() }.check(at)?;
        found.silent = origin == Some(Origin::File);
        Ok(found)
    }
}

/// A protected environment is never a silent default: a folder that one happens to be in must not
/// decide that production is meant.
async fn guard(context: &Context, found: Found) -> Result<EnvironmentRef> {
    if !found.silent {
        return Ok(found.at);
    }
    let at = &found.at;
    if at.environment.as_str() == "production" || is_protected(context, at).await? {
        return Err(Problem::invalid(format!(
            "portctl.toml makes '{at}' the default, and a protected environment has to be named each time"
        ))
        .remedy(format!("Where it is meant: -e {}, or write {at} out.", at.environment)));
    }
    Ok(found.at)
}

async fn is_protected(context: &Context, at: &EnvironmentRef) -> Result<bool> {
    let applications = context.client()?.applications().await?;
    let environment = applications
        .iter()
        .filter(|it| it.name == at.application.as_str())
        .flat_map(|it| &it.environments)
        .find(|it| it.name == at.environment.as_str());
    // One that is not shown to us is none that we may take for harmless.
    Ok(environment.is_none_or(|it| it.protected))
}

fn usage(detail: String) -> Problem {
    Problem::invalid(detail).remedy(
        "Write APPLICATION/ENVIRONMENT[@TEAM][/NAME], or say -a APPLICATION -e ENVIRONMENT [--team TEAM].",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Surroundings;

    fn secret(target: &str, flags: [Option<&str>; 3]) -> Result<String> {
        let [application, environment, team] = flags.map(|it| it.map(str::to_owned));
        let args =
            SecretArgs { target: target.to_owned(), place: WhereArgs { application, environment, team } };
        let around = Surroundings {
            application: Some("billing".to_owned()),
            environment: Some("sandbox".to_owned()),
            ..Surroundings::default()
        };
        args.find(&Settings::new(None, around)).map(|(found, name)| format!("{}/{name}", found.at))
    }

    #[test]
    fn a_secret_is_written_out_or_said_by_flags_and_defaults() {
        let none = [None, None, None];
        assert_eq!(secret("reports/sandbox/A", none).unwrap(), "reports/sandbox/A");
        assert_eq!(secret("A", none).unwrap(), "billing/sandbox/A");
        assert_eq!(secret("A", [Some("reports"), Some("production"), None]).unwrap(), "reports/production/A");
        assert_eq!(secret("A", [None, None, Some("supa-team")]).unwrap(), "billing/sandbox@supa-team/A");
        assert_eq!(secret("reports/sandbox/A", [None, None, Some("t")]).unwrap(), "reports/sandbox@t/A");
    }

    #[test]
    fn a_role_is_written_out_or_said_by_flags_and_defaults() {
        let around = Surroundings {
            application: Some("billing".to_owned()),
            environment: Some("sandbox".to_owned()),
            ..Surroundings::default()
        };
        let settings = Settings::new(None, around);
        let role = |target: &str, application: Option<&str>| {
            let place = WhereArgs { application: application.map(str::to_owned), ..WhereArgs::default() };
            let args = RoleArgs { target: target.to_owned(), place };
            args.find(&settings).map(|(found, role)| format!("{}/{role}", found.at))
        };
        assert_eq!(role("reader", None).unwrap(), "billing/sandbox/reader");
        assert_eq!(role("reader", Some("reports")).unwrap(), "reports/sandbox/reader");
        assert_eq!(role("reports/production/reader", None).unwrap(), "reports/production/reader");
        for bad in ["reports/production", "", "Reader", "a/b/c/d"] {
            assert!(role(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_words_for_one_place_have_to_agree() {
        assert!(secret("reports/sandbox/A", [Some("reports"), Some("sandbox"), None]).is_ok());
        assert!(secret("reports/sandbox/A", [Some("billing"), None, None]).is_err());
        assert!(secret("reports/sandbox/A", [None, Some("production"), None]).is_err());
        assert!(secret("reports/sandbox@a/A", [None, None, Some("b")]).is_err());
    }

    #[test]
    fn a_secret_without_its_name_is_refused() {
        for bad in ["reports/sandbox", "a/b/c/d", "", "../x/Y"] {
            assert!(secret(bad, [None, None, None]).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn production_is_never_a_silent_default() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("portctl.toml"),
            "application = 'reports'\nenvironment = 'production'",
        )
        .unwrap();
        let around = Surroundings { folder: Some(folder.path().to_owned()), ..Surroundings::default() };
        let context = Context::new(None, crate::cli::Format::Table, around);
        let problem = EnvironmentArgs::default().resolve(&context).await.unwrap_err();
        assert!(problem.remedy.unwrap().contains("-e production"));
        let place = WhereArgs { environment: Some("production".to_owned()), ..WhereArgs::default() };
        let named = EnvironmentArgs { target: None, place };
        assert_eq!(named.resolve(&context).await.unwrap().to_string(), "reports/production");
    }
}
