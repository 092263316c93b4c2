use super::*;

fn read(text: &str) -> Result<Config, String> {
    let mut config = Config::default();
    config.read(text, "matrikel.toml").map_err(|error| error.to_string())?;
    Ok(config)
}

fn environment(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let mut config = Config::default();
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config.read_environment(pairs).map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn the_default_configuration_fits_itself() {
    let config = Config::default();
    config.check().expect("checks");
    assert_eq!(config.database_url(), "sqlite:data/matrikel.db");
    assert!(config.is_embedded());
}

#[test]
fn every_key_of_a_file_arrives() {
    let config = read(
        "listen = '0.0.0.0:1'\nmetrics_listen = '127.0.0.1:2'\npublic_url = 'https://id.example.se/'\ndata_dir = '/d'\ndatabase_url = 'postgres://h/d'\n\
         workers = 3\nreaders = 4\nwriters = 5\nbody_limit = 2048\n\
         bulk_operations = 6\nbulk_payload = 4096\nfeed_limit = 8192\ndeferred_requests = 7\npage_default = 10\npage_max = 20\nscan_limit = 30\n\
         cursor_timeout_seconds = 40\nschedule_seconds = 41\nrun_items_days = 42\nannounce_memberships = true\n\
         password_min = 12\npassword_max = 64\ntrusted_proxies = ['10.0.0.0/8', '::1']\n\
         cors_origins = ['https://console.example.se']\nshutdown_seconds = 1\nconnections = 5000\n\
         head_seconds = 1\nbody_seconds = 2\nidle_seconds = 3\nstalled_seconds = 4\n\
         client_requests = 1\nclient_concurrent = 2\ntenant_requests = 3\ntenant_concurrent = 4\n\
         failed_attempts = 5\n\
         client_certificates = 'optional'\nclient_ca = '/a'\nclient_crl = '/r'\n\
         [log]\nformat = 'json'\nlevel = 'info,matrikel=debug'\n\
         [secrets]\nkey_file = '/s'\nkeys = 'secret'\n\
         [oauth]\nalgorithm = 'EdDSA'\ntoken_seconds = 60\n\
         [issuers]\nnetworks = ['10.1.0.0/16']\nkeys_seconds = 5\nretry_seconds = 6\noutage_seconds = 7\n\
         [tls]\ncertificate = '/c'\nkey = '/k'\nmin_version = '1.3'\nhsts_seconds = 9\n\
         [federation]\nname = 'moa'\nmetadata = 'https://m'\nanchor = '/f'\nissuer = 'urn:i'\ncopy = '/o'\n",
    )
    .expect("reads");
    let expected = Config {
        listen: "0.0.0.0:1".into(),
        metrics_listen: Some("127.0.0.1:2".into()),
        public_url: Some("https://id.example.se".into()),
        data_dir: "/d".into(),
        database_url: Some("postgres://h/d".into()),
        workers: 3,
        readers: 4,
        writers: 5,
        body_limit: 2048,
        bulk_operations: 6,
        bulk_payload: 4096,
        feed_limit: 8192,
        deferred_requests: 7,
        page_default: 10,
        page_max: 20,
        scan_limit: 30,
        cursor_timeout_seconds: 40,
        schedule_seconds: 41,
        run_items_days: 42,
        announce_memberships: true,
        password_min: 12,
        password_max: 64,
        trusted_proxies: ["10.0.0.0/8", "::1"].map(|text| Network::parse(text).expect("a network")).into(),
        cors_origins: vec!["https://console.example.se".into()],
        log: Log { format: LogFormat::Json, level: "info,matrikel=debug".into() },
        shutdown_seconds: 1,
        oauth: Oauth { algorithm: SigningAlgorithm::EdDsa, token_seconds: 60 },
        issuers: Issuers {
            networks: vec![Network::parse("10.1.0.0/16").expect("a network")],
            keys_seconds: 5,
            retry_seconds: 6,
            outage_seconds: 7,
        },
        tls: Tls {
            certificate: Some("/c".into()),
            key: Some("/k".into()),
            min_version: TlsVersion::Tls13,
            hsts_seconds: Some(9),
        },
        secrets: Secrets { key_file: Some("/s".into()), keys: Some("secret".into()) },
        client_certificates: ClientCertificates::Optional,
        client_ca: Some("/a".into()),
        client_crl: Some("/r".into()),
        federation: Federation {
            name: Some("moa".into()),
            metadata: Some("https://m".into()),
            anchor: Some("/f".into()),
            issuer: Some("urn:i".into()),
            copy: Some("/o".into()),
        },
        connections: 5000,
        head_seconds: 1,
        body_seconds: 2,
        idle_seconds: 3,
        stalled_seconds: 4,
        client_requests: 1,
        client_concurrent: 2,
        tenant_requests: 3,
        tenant_concurrent: 4,
        failed_attempts: 5,
    };
    assert_eq!(config, expected);
}

#[test]
fn an_unknown_key_is_refused_with_file_key_and_the_nearest_known() {
    let table = [
        ("page_maximum = 3", "matrikel.toml has the unknown key page_maximum. Did you mean page_max?"),
        ("[log]\nlevl = 'x'", "matrikel.toml has the unknown key log.levl. Did you mean log.level?"),
        ("databse_url = 'x'", "matrikel.toml has the unknown key databse_url. Did you mean database_url?"),
        (
            "zzzzzzzzzzzzzzzz = 1",
            "matrikel.toml has the unknown key zzzzzzzzzzzzzzzz. See `matrikel serve --help` for the keys.",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(read(text).expect_err(text), expected);
    }
    assert_eq!(
        environment(&[("MATRIKEL_LISTN", "x")]).expect_err("unknown"),
        "the environment has the unknown key MATRIKEL_LISTN. Did you mean MATRIKEL_LISTEN?"
    );
}

#[test]
fn a_value_of_the_wrong_kind_or_range_says_what_the_key_is() {
    let table = [
        (
            "workers = 'many'",
            "matrikel.toml: workers is text, not a number. It is the number of threads that serve HTTP",
        ),
        ("workers = 0", "matrikel.toml: workers is 0. It is the number of threads that serve HTTP, 1 to 1024."),
        ("listen = 8080", "matrikel.toml: listen is a number, not text in quotation marks."),
        (
            "trusted_proxies = ['proxy']",
            "matrikel.toml: trusted_proxies has \"proxy\", which is no address or network.",
        ),
        ("trusted_proxies = 1", "matrikel.toml: trusted_proxies is a number, not a list."),
        ("cors_origins = ['*']", "matrikel.toml: cors_origins has \"*\", which is no origin:"),
        ("cors_origins = ['https://x.se/']", "matrikel.toml: cors_origins has \"https://x.se/\", which is no origin:"),
        ("public_url = 'id.example.se'", "matrikel.toml: public_url does not begin with https:// or http://."),
        ("[log]\nformat = 'xml'", "matrikel.toml: log.format is \"xml\". It is text or json."),
        ("[tls]\nmin_version = '1.1'", "matrikel.toml: tls.min_version is \"1.1\". It is the oldest version of TLS"),
        (
            "[oauth]\nalgorithm = 'HS256'",
            "matrikel.toml: oauth.algorithm is \"HS256\". It is how access tokens are signed",
        ),
        (
            "[issuers]\nnetworks = ['lan']",
            "matrikel.toml: issuers.networks has \"lan\", which is no address or network.",
        ),
        (
            "client_certificates = 'yes'",
            "matrikel.toml: client_certificates is \"yes\". It is where certificates of clients",
        ),
        (
            "[federation]\nname = 'a b'",
            "matrikel.toml: federation.name is \"a b\". It is what the federation is called",
        ),
        (
            "[federation]\nmetadata = 'http://fed.example.se'",
            "matrikel.toml: federation.metadata does not begin with https://.",
        ),
        ("announce_memberships = 1", "matrikel.toml: announce_memberships is a number, not true or false."),
        ("announce_memberships = 'yes'", "matrikel.toml: announce_memberships is \"yes\"."),
        ("listen = ", "matrikel.toml is not valid TOML:"),
    ];
    for (text, expected) in table {
        let error = read(text).expect_err(text);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_environment_overrides_and_leaves_foreign_variables_alone() {
    let config = environment(&[
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("MATRIKEL_WORKERS", "7"),
        ("MATRIKEL_LOG_FORMAT", "json"),
        ("MATRIKEL_DATA_DIR", "17"),
        ("MATRIKEL_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
        ("MATRIKEL_CONFIG", "x"),
        ("MATRIKEL_TEST_POSTGRES", "x"),
        ("HOME", "/"),
    ])
    .expect("reads");
    assert_eq!(config.workers, 7);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.data_dir, PathBuf::from("17"));
    assert_eq!(config.database_url(), "postgres://u:p@h/d");
    let error = environment(&[("MATRIKEL_WORKERS", "x")]).expect_err("no number");
    assert!(error.starts_with("MATRIKEL_WORKERS is text, not a number."), "{error}");
}

#[test]
fn values_that_do_not_fit_each_other_are_refused() {
    let table = [
        ("page_default = 200\npage_max = 100", "page_default (200) is larger than page_max (100)."),
        ("password_min = 20\npassword_max = 10", "password_min (20) is larger than password_max (10)."),
        ("listen = 'localhost'", "listen is \"localhost\". Write an address and a port"),
        ("[tls]\ncertificate = 'c'", "tls.certificate is set and tls.key is not."),
        ("[tls]\nkey = 'k'", "tls.key is set and tls.certificate is not."),
        ("[tls]\nhsts_seconds = 1", "tls.hsts_seconds is set without tls.certificate."),
        (
            "client_certificates = 'required'",
            "client_certificates asks for certificates in the handshake, and there is none",
        ),
        ("client_certificates = 'proxy'", "client_certificates is proxy and trusted_proxies is empty."),
        ("client_ca = 'c'", "client_ca is set and client_certificates is off."),
        (
            "client_certificates = 'proxy'\ntrusted_proxies = ['::1']\nclient_crl = 'c'",
            "client_crl is set without client_ca.",
        ),
        ("[federation]\nname = 'moa'\nanchor = 'a'", "federation.metadata is missing. A federation needs"),
        ("[federation]\nissuer = 'urn:i'", "federation.name is missing."),
        (
            "[federation]\nname = 'moa'\nmetadata = 'm'\nanchor = 'a'",
            "federation.metadata is set and client_certificates is off",
        ),
        ("metrics_listen = ':1'", "metrics_listen is \":1\". Write an address and a port"),
        ("listen = 'localhost:99999'", "listen is \"localhost:99999\"."),
        ("database_url = 'mysql://h/d'", "The database URL is mysql, which Matrikel does not speak. Use sqlite:PATH"),
        ("database_url = 'data.db'", "The database URL is without a scheme, which"),
    ];
    for (text, expected) in table {
        let error = read(text).expect("reads").check().expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    read("listen = 'localhost:0'").expect("reads").check().expect("a host name with a port is fine");
    read("listen = '[::1]:0'").expect("reads").check().expect("IPv6 is fine");
}

#[test]
fn what_is_shown_reads_back_and_hides_the_password() {
    let config = read("database_url = 'postgres://u:hem:lig@h/d'").expect("reads");
    let shown = config.to_string();
    assert!(!shown.contains("hem") && !shown.contains("lig"), "{shown}");
    assert!(shown.contains("database_url = \"postgres://u:***@h/d\""), "{shown}");
    let mut again = Config::default();
    again.read(&shown, "shown").expect("reads back");
}

#[test]
fn a_password_is_redacted_wherever_it_stands() {
    let table = [
        ("postgres://u:p@h/d", "postgres://u:***@h/d"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("postgres://u:p@q@h:1/d?x=1", "postgres://u:***@h:1/d?x=1"),
        ("postgres://h/d?user=u&password=p", "postgres://h/d?user=u&password=***"),
        ("sqlite:data/matrikel.db", "sqlite:data/matrikel.db"),
    ];
    for (url, expected) in table {
        assert_eq!(redact(url), expected);
    }
}

#[test]
fn a_named_file_must_exist_and_the_default_file_need_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Config::load(Some(&folder.path().join("none.toml")), []).expect_err("missing").to_string();
    assert!(error.contains("none.toml cannot be read") && error.contains("--config"), "{error}");
    let file = folder.path().join("some.toml");
    std::fs::write(&file, "workers = 2").expect("written");
    assert_eq!(Config::load(Some(&file), []).expect("loads").workers, 2);
}

#[test]
fn what_is_deployed_sets_only_keys_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["deploy/Dockerfile", "deploy/systemd/matrikel.service"] {
        let text = std::fs::read_to_string(root.join(file)).expect(file);
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        let variables: Vec<&str> = words.filter(|word| word.starts_with("MATRIKEL_")).collect();
        assert!(!variables.is_empty(), "{file}");
        for variable in variables {
            assert!(KEYS.iter().any(|key| key.variable() == variable), "{file}: {variable}");
        }
    }
}
