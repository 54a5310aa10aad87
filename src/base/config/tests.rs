use super::*;

use serde_json::json;

const SAMPLE: &str = include_str!("../../../deploy/port-control.toml");

const SMALL: &str = r#"public_url = "http://127.0.0.1:8080"
administrators = ["idp/it"]
contact = "it@example.com"
[database]
url = "sqlite:a.db"
[keys]
master_key_file = "key"
[engine]
kind = "embedded"
[[providers]]
name = "idp"
issuer = "https://id.example.com"
client_id = "port-control"
"#;

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config> {
    let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::parse("c.toml", text, Path::new("/etc/port-control"), env)
}

/// All findings as `file:line:column: message | remedy`.
fn findings(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let problem = parse(text, env).expect_err("it is refused");
    assert!(problem.is(ProblemKind::InvalidConfiguration));
    let findings: Vec<Finding> = serde_json::from_value(problem.more["findings"].clone()).unwrap();
    findings.iter().map(|it| format!("{it} | {}", it.remedy)).collect()
}

#[track_caller]
fn refused(text: &str, env: &[(&str, &str)], wanted: &[&str]) {
    let found = findings(text, env);
    let fits = found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| f.contains(w));
    assert!(fits, "{found:#?}");
}

#[test]
fn the_sample_is_a_configuration() {
    let config = parse(SAMPLE, &[]).unwrap();
    assert_eq!(config.log.origin, "port-control.example.com/log");
    assert_eq!(config.sessions.idle, Duration::from_hours(12));
    assert_eq!(config.administrators[0].to_string(), "keycloak/it");
    assert!(
        matches!(&config.master_key, MasterKeySource::File(path) if path.ends_with("port-control/master-key"))
    );
}

#[test]
fn every_commented_key_of_the_sample_is_one() {
    let vault = SAMPLE.split("# [engine.vault]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let lines: Vec<&str> = vault.lines().map(|line| line.trim_start_matches("# ")).collect();
    let (auths, keys): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.starts_with("auth"));
    assert_eq!(auths.len(), 4);
    for auth in auths {
        let text = SMALL.replace(
            "kind = \"embedded\"\n",
            &format!("kind = \"vault\"\n[engine.vault]\n{}\n{auth}\n", keys.join("\n")),
        );
        parse(&text, &[]).unwrap_or_else(|problem| panic!("{auth}: {problem}"));
    }
}

#[test]
fn a_pin_is_kept_unless_it_is_said_that_none_is() {
    let pin = |log: &str| parse(&format!("{SMALL}{log}"), &[]).unwrap().log.pin;
    let file = |path: &str| Some(PinConfig::File(PathBuf::from(path)));
    assert_eq!(pin(""), file("/etc/port-control/log.pin"), "beside the configuration");
    assert_eq!(pin("[log]\npin = \"none\""), None);
    assert_eq!(pin("[log]\npin = \"/mnt/pin\""), file("/mnt/pin"));
    let folder = "[log.archive]\nto = \"file:///mnt/archive\"";
    assert_eq!(pin(&format!("[log]\npin = \"archive\"\n{folder}")), file("/mnt/archive/log.pin"));
    let bucket = "[log.archive]\nto = \"s3://bucket/log\"\nregion = \"eu\"\naccess_key_id = \"it\"\n\
                  secret_access_key_file = \"s3\"";
    assert_eq!(pin(&format!("[log]\npin = \"archive\"\n{bucket}")), Some(PinConfig::Archive));
    let cluster = "[clusters.main]\nin_cluster = true";
    let at = pin(&format!("[log]\npin = \"configmap:main/port-control/log-pin\"\n{cluster}"));
    let name = |text: &str| text.parse::<Name>().unwrap();
    let (cluster, namespace) = (name("main"), name("port-control"));
    assert_eq!(at, Some(PinConfig::ConfigMap { cluster, namespace, name: name("log-pin") }));
    let refusals = [
        ("archive", "there is no archive"),
        ("configmap:main/port-control", "names no ConfigMap"),
        ("configmap:main/a/b/c", "names no ConfigMap"),
        ("configmap:main/port-control/../secrets", "names no ConfigMap"),
        ("configmap:other/port-control/log-pin", "'other' is no cluster"),
    ];
    for (pin, why) in refusals {
        refused(&format!("{SMALL}[log]\npin = \"{pin}\""), &[], &[why]);
    }
}

/// The objects of the manifest in `deploy/`.
fn manifest() -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(include_str!("../../../deploy/kubernetes.yaml")).unwrap()
}

#[test]
fn the_manifest_holds_a_configuration() {
    let objects = manifest();
    let map = objects.iter().find(|it| it["kind"] == "ConfigMap").unwrap();
    let config = parse(map["data"]["port-control.toml"].as_str().unwrap(), &[]).unwrap();
    assert!(config.tls.is_some() && !config.listen.ip().is_loopback());
    assert_eq!(config.clusters.values().collect::<Vec<_>>(), [&Access::InCluster]);
}

#[test]
fn invariant_7_the_manifest_has_no_cluster_role() {
    let objects = manifest();
    let of = |kind: &str| objects.iter().filter(|it| it["kind"] == kind).count();
    assert_eq!((of("ClusterRole"), of("ClusterRoleBinding"), of("Role")), (0, 0, 2));
    let role = |namespace: &str| {
        let found =
            objects.iter().find(|it| it["kind"] == "Role" && it["metadata"]["namespace"] == namespace);
        found.unwrap()["rules"].as_array().unwrap().clone()
    };
    let supa: Vec<_> =
        role("supa").iter().map(|rule| (rule["resources"].clone(), rule["verbs"].clone())).collect();
    let on_secrets = ["get", "list", "watch", "create", "update", "delete"];
    let expected =
        [(json!(["secrets"]), json!(on_secrets)), (json!(["localsubjectaccessreviews"]), json!(["create"]))];
    assert_eq!(supa, expected, "a rule on Secrets, one for asking who can read them, and nothing beyond");
    let own = role("port-control");
    assert!(own.iter().all(|rule| rule["resources"] == json!(["configmaps"])), "{own:?}");
    let config = parse(
        objects.iter().find(|it| it["kind"] == "ConfigMap").unwrap()["data"]["port-control.toml"]
            .as_str()
            .unwrap(),
        &[],
    );
    let Some(PinConfig::ConfigMap { namespace, name, .. }) = config.unwrap().log.pin else {
        panic!("no pin")
    };
    assert_eq!((namespace.as_str(), &own[1]["resourceNames"][0]), ("port-control", &name.as_str().into()));
}

/// Reads an object as its type and writes it again: what the type does not know is gone then.
fn known<T: serde::de::DeserializeOwned + serde::Serialize>(object: &serde_json::Value) -> serde_json::Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

#[test]
fn every_field_of_the_manifest_is_one_of_kubernetes() {
    use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, rbac::v1 as rbac};
    for object in manifest() {
        let read = match object["kind"].as_str().unwrap() {
            "Namespace" => known::<core::Namespace>(&object),
            "ServiceAccount" => known::<core::ServiceAccount>(&object),
            "ConfigMap" => known::<core::ConfigMap>(&object),
            "PersistentVolumeClaim" => known::<core::PersistentVolumeClaim>(&object),
            "Service" => known::<core::Service>(&object),
            "Role" => known::<rbac::Role>(&object),
            "RoleBinding" => known::<rbac::RoleBinding>(&object),
            "Deployment" => known::<apps::Deployment>(&object),
            other => panic!("{other}"),
        };
        assert_eq!(read, object);
    }
}

#[test]
fn little_is_enough() {
    let config = parse(SMALL, &[]).unwrap();
    assert!(config.listen.ip().is_loopback());
    assert_eq!(config.log.origin, "127.0.0.1:8080");
    assert_eq!(config.database.read().unwrap().expose_text(), Some("sqlite:/etc/port-control/a.db"));
    assert_eq!(config.providers[0].scopes, ["openid", "profile", "email"]);
}

#[test]
fn variables_beat_the_file() {
    let config = parse(
        SMALL,
        &[
            ("PORT_CONTROL_LISTEN", "[::1]:9000"),
            ("PORT_CONTROL_LOG__PUBLIC", "true"),
            ("PORT_CONTROL_ADMINISTRATORS", "idp/it, idp/ops"),
            ("PORT_CONTROL_DATABASE__URL", "postgres://user:hunter2@db/x"),
            ("PORT_CONTROL_PROVIDERS__IDP__CLIENT_SECRET", "hunter2"),
            ("PORT_CONTROL_PROVIDERS__0__NAME_CLAIM", "nickname"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.port(), 9000);
    assert!(config.log.public);
    assert_eq!(config.administrators.len(), 2);
    assert_eq!(config.providers[0].name_claim, "nickname");
    assert_eq!(config.database.read().unwrap().expose(), b"postgres://user:hunter2@db/x");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_kubernetes_says_of_a_service_of_our_name_is_not_for_us() {
    let env = [("PORT_CONTROL_PORT", "tcp://1.2.3.4:443"), ("PORT_CONTROL_SERVICE_HOST", "1.2.3.4")];
    assert!(parse(SMALL, &env).is_ok());
}

#[test]
fn vaults_own_variables_hold_where_nothing_else_does() {
    let text = SMALL.replace(
        "kind = \"embedded\"",
        "kind = \"vault\"\n[engine.vault]\nnamespace = \"ours\"\nauth = { method = \"token\" }",
    );
    let env = [("VAULT_ADDR", "https://v:8200"), ("VAULT_NAMESPACE", "theirs"), ("VAULT_TOKEN", "hunter2")];
    let EngineConfig::Vault(vault) = parse(&text, &env).unwrap().engine else { panic!("not vault") };
    assert_eq!((vault.address.as_str(), vault.namespace.as_deref()), ("https://v:8200/", Some("ours")));
    assert!(matches!(vault.auth, VaultAuth::Token(Credential::Value(_))));
    assert!(!format!("{vault:?}").contains("hunter2"));
    refused(&text, &[("VAULT_TOKEN", "t")], &["'address' is missing"]);
}

#[test]
fn unknown_keys_are_all_refused_with_the_nearest_known_one() {
    let text = SMALL.replace("contact =", "contct =").replace("client_id", "redirects = 1\nclientid");
    refused(
        &text,
        &[("PORT_CONTROL_SESSIONS__IDEL", "1h")],
        &[
            "PORT_CONTROL_SESSIONS__IDEL: unknown key 'idel' | Did you mean 'idle'?",
            "c.toml:3:1: unknown key 'contct' | Did you mean 'contact'?",
            "c.toml:13:1: unknown key 'redirects'",
            "c.toml:14:1: unknown key 'clientid' | Did you mean 'client_id'?",
        ],
    );
}

#[test]
fn a_credential_in_the_file_is_refused_and_not_repeated() {
    let text = SMALL.replace("client_id", "client_secret = \"hunter2\"\nclient_id");
    refused(&text, &[], &["c.toml:13:1: 'client_secret' is a credential"]);
    let text = SMALL.replace("sqlite:a.db", "postgres://user:hunter2@db/x");
    refused(&text, &[], &["c.toml:5:7: this URL holds a password"]);
    for text in [SMALL.replace("sqlite:a.db", "mysql:hunter2"), format!("hunter2 {SMALL}")] {
        assert!(!findings(&text, &[]).join("\n").contains("hunter2"));
    }
}

#[test]
fn plain_http_leaves_loopback_only_behind_tls() {
    let open = format!("listen = \"0.0.0.0:80\"\n{SMALL}");
    refused(&open, &[], &["c.toml:1:10: 0.0.0.0:80 is not loopback"]);
    assert!(parse(&format!("trusted_proxies = [\"10.0.0.0/8\"]\n{open}"), &[]).is_ok());
    assert!(parse(&format!("{open}[tls]\ncertificate = \"c\"\nkey = \"k\"\n"), &[]).is_ok());
    refused(&SMALL.replace("127.0.0.1:8080", "example.com"), &[], &["c.toml:1:14: this is not https"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = SMALL.replace("idp/it", "ipd/it").replace("https://id", "ftp://id")
        + "[clusters.main]\nkubeconfig = \"a\"\nin_cluster = true\n[sessions]\nidle = \"2x\"\n";
    refused(
        &text,
        &[],
        &[
            "c.toml:2:19: there is no provider 'ipd' | Did you mean 'idp'?",
            "c.toml:12:10: this is not https",
            "c.toml:14:1: how the cluster 'main' is reached",
            "c.toml:18:8: '2x' is no length of time",
        ],
    );
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    refused("a = 1\nb = = 2\n", &[], &["c.toml:2:"]);
}

#[test]
fn a_credential_file_loses_its_final_newline_and_must_not_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "a\n\n").unwrap();
    assert_eq!(Credential::File(path.clone()).read().unwrap().expose(), b"a\n");
    std::fs::write(&path, "\n").unwrap();
    assert!(Credential::File(path).read().unwrap_err().is(ProblemKind::InvalidConfiguration));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", line in "[a-z_\\.\\[\\]=\" \n0-9]{0,200}") {
        let _ = parse(&text, &[]);
        let _ = parse(&format!("{SMALL}{line}"), &[]);
    }
}

#[test]
fn witnesses_and_places_to_forward_to_are_read() {
    let witness = "[[log.witnesses]]\nvkey = \"w+00000000+BA\"\nurl = \"https://10.0.0.7/w\"\n";
    let forward = "[[log.forward]]\nurl = \"http://127.0.0.1:9/log\"\ntoken_file = \"siem\"\n";
    let quorum = "[log.witness_policy]\nquorum = 1\n";
    let filter = "filter = { action = \"secret.\" }\n";
    let config = parse(&format!("{SMALL}{witness}{forward}{filter}{quorum}"), &[]).unwrap().outward;
    assert_eq!((config.witnesses.len(), config.quorum, config.forward.len()), (1, Some(1), 1));
    assert_eq!(config.forward[0].filter["action"], "secret.");
    assert!(
        matches!(&config.forward[0].token, Credential::File(path) if path.ends_with("port-control/siem"))
    );
    refused(&format!("{SMALL}{quorum}"), &[], &["this quorum cannot be met"]);
    refused(&format!("{SMALL}{}", witness.replace("https", "http")), &[], &["this is not https"]);
    refused(&format!("{SMALL}{forward}{forward}"), &[], &["forwarded to twice"]);
    refused(
        &format!("{SMALL}{}", forward.replace("token_file", "token")),
        &[],
        &["'token_file' is missing", "is a credential"],
    );
    refused(&format!("{SMALL}{}", forward.replace("http:", "ftp:")), &[], &["this is not https"]);
}

#[test]
fn an_archive_is_a_folder_or_a_bucket_and_takes_nothing_too_young() {
    let folder = "[log.archive]\nto = \"file:///var/archive\"\n";
    let archive = |text: &str, env: &[(&str, &str)]| {
        parse(&format!("{SMALL}{text}"), env).unwrap().outward.archive.unwrap()
    };
    let found = archive(folder, &[("AWS_ACCESS_KEY_ID", "not for a folder")]);
    assert!(matches!(&found.to, ArchivePlace::Folder(path) if path == Path::new("/var/archive")));
    assert_eq!(found.after, Duration::from_hours(400 * 24));
    let bucket = "[log.archive]\nto = \"s3://bucket/some/prefix/\"\nafter = \"500d\"\n";
    let theirs = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA1"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "hunter2"),
        ("AWS_ENDPOINT_URL", "https://minio.example.com"),
    ];
    let found = archive(bucket, &theirs);
    assert!(!format!("{found:?}").contains("hunter2"));
    let ArchivePlace::S3(s3) = found.to else { panic!("no bucket") };
    assert_eq!(
        (s3.bucket.as_str(), s3.prefix.as_str(), s3.region.as_str()),
        ("bucket", "some/prefix", "eu-central-1")
    );
    assert_eq!(s3.secret_access_key.read().unwrap().expose(), b"hunter2");
    assert!(s3.session_token.is_some() && s3.endpoint.is_some());
    let ours = "access_key_id = \"ours\"\nsecret_access_key_file = \"key\"\nregion = \"us-east-1\"\n";
    let ArchivePlace::S3(s3) = archive(&format!("{bucket}{ours}"), &theirs).to else { panic!("no bucket") };
    assert_eq!((s3.access_key_id.as_str(), s3.region.as_str()), ("ours", "us-east-1"));
    assert!(s3.session_token.is_none(), "another's token does not belong to our key");
    let wrong = [
        (format!("{folder}after = \"399d\"\n"), "before `[log] retention` is over"),
        (format!("{folder}after = \"soon\"\n"), "no length of time"),
        (format!("{folder}region = \"us-east-1\"\n"), "no endpoint"),
        (folder.replace("file:///var/archive", "/var/archive"), "no place for an archive"),
        (folder.replace("file:///var/archive", "file:///"), "no place for an archive"),
        (folder.replace("file:///var/archive", "ftp://x/y"), "no place for an archive"),
        (format!("{bucket}{}", ours.replace("region", "#")), "'region' is missing"),
        (format!("{bucket}{ours}endpoint = \"http://minio.example.com\"\n"), "this is not https"),
        (format!("{bucket}{}", ours.replace("_file", "")), "is a credential"),
    ];
    for (text, message) in wrong {
        let found = findings(&format!("{SMALL}{text}"), &[]);
        assert!(found.iter().any(|it| it.contains(message)), "{text}: {found:#?}");
    }
}

const WORKLOADS: &str = "[[workload_issuers]]\nname = \"github\"\nkind = \"github\"\nissuer = \
                         \"https://token.actions.githubusercontent.com\"\n";

#[test]
fn workload_issuers_are_for_our_own_address_unless_said_otherwise() {
    let config = parse(&format!("{SMALL}{WORKLOADS}"), &[]).unwrap();
    assert_eq!(config.workload_issuers[0].audience, "http://127.0.0.1:8080");
    let named = format!("{SMALL}{WORKLOADS}audience = \"https://pc.example.com\"\n");
    assert_eq!(parse(&named, &[]).unwrap().workload_issuers[0].audience, "https://pc.example.com");
}

#[test]
fn workload_issuers_that_could_not_be_told_apart_or_reached_safely() {
    let with = |more: &str| format!("{SMALL}{WORKLOADS}{more}");
    refused(
        &with(WORKLOADS),
        &[],
        &["there are two workload issuers 'github'", "another workload issuer has this address"],
    );
    let issuer = |kind: &str, rest: &str| {
        format!("[[workload_issuers]]\nname = \"x\"\nkind = \"{kind}\"\nissuer = {rest}\n")
    };
    refused(&with(&issuer("oidc", "\"http://ci.example.com\"")), &[], &["this is not https"]);
    let github = format!("{SMALL}{}", issuer("oidc", "\"https://token.actions.githubusercontent.com\""));
    refused(&github, &[], &["whose ids have to be pinned"]);
    let name = "\"https://kubernetes.default.svc\"";
    refused(&with(&issuer("kubernetes", &format!("{name}\ncluster = \"k\""))), &[], &["no [clusters.k]"]);
    refused(
        &with(&issuer("oidc", &format!("{name}\ncluster = \"k\"\n[clusters.k]\nin_cluster = true"))),
        &[],
        &["only a cluster's own tokens"],
    );
    refused(
        &with(&issuer("kubernetes", &format!("{name}\ncluster = \"k\"\n[clusters.k]\ndirectory = \"d\""))),
        &[],
        &["a folder has no ServiceAccounts"],
    );
    let fine = issuer("kubernetes", &format!("{name}\ncluster = \"k\"\n[clusters.k]\nin_cluster = true"));
    assert_eq!(parse(&with(&fine), &[]).unwrap().workload_issuers[1].kind, IssuerKind::Kubernetes);
}
