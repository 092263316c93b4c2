//! The organisation of a made-up bilingual town: sectors, departments and the kinds of units below them. Each name is a
//! pair, Swedish and Finnish.

/// A Swedish and a Finnish text.
pub(super) type Pair = (&'static str, &'static str);

/// The town itself.
pub(super) const TOWN: Pair = ("Lövstrands stad", "Lehtorannan kaupunki");

/// A sector and its departments.
pub(super) struct Sector {
    /// What it is called.
    pub(super) name: Pair,
    /// Departments; [`Kind::department`] counts through those of all sectors.
    pub(super) departments: &'static [Pair],
}

#[rustfmt::skip]
pub(super) const SECTORS: &[Sector] = &[
    Sector { name: ("Stadskansliet", "Kaupunginkanslia"), departments: &[
        ("Ekonomi", "Talous"), ("Personal", "Henkilöstö"), ("Digitalisering", "Tietohallinto")] },
    Sector { name: ("Fostran och utbildning", "Kasvatus ja koulutus"), departments: &[
        ("Småbarnspedagogik", "Varhaiskasvatus"), ("Svensk utbildning", "Ruotsinkielinen koulutus"),
        ("Finsk utbildning", "Suomenkielinen koulutus"), ("Fritt bildningsarbete", "Vapaa sivistystyö")] },
    Sector { name: ("Omsorg och hälsa", "Hyvinvointi ja terveys"), departments: &[
        ("Hemvård", "Kotihoito"), ("Boende med service", "Asumispalvelut"), ("Hälsovård", "Terveydenhuolto"),
        ("Socialservice", "Sosiaalipalvelut")] },
    Sector { name: ("Kultur och fritid", "Kulttuuri ja vapaa-aika"), departments: &[
        ("Bibliotek", "Kirjastot"), ("Idrott", "Liikunta"), ("Ungdom", "Nuoriso")] },
    Sector { name: ("Teknik och miljö", "Tekniikka ja ympäristö"), departments: &[
        ("Fastigheter", "Tilapalvelut"), ("Gator och parker", "Kadut ja puistot"), ("Kost", "Ruokapalvelut"),
        ("Vatten", "Vesihuolto")] },
    Sector { name: ("Stadsutveckling", "Kaupunkikehitys"), departments: &[
        ("Planläggning", "Kaavoitus"), ("Byggnadstillsyn", "Rakennusvalvonta")] },
];

/// A kind of unit that the town has several of.
pub(super) struct Kind {
    /// What follows the place in the unit's name.
    pub(super) noun: Pair,
    /// Number of its department, counted through all sectors from 0.
    pub(super) department: usize,
    /// How many of a hundred units or so are of this kind.
    pub(super) share: usize,
    /// How many people such a unit has, compared with the others.
    pub(super) staff: usize,
    /// Whether its names are in Swedish, in Finnish, or now one and now the other.
    pub(super) language: Language,
    /// Title of its head.
    pub(super) head: Pair,
    /// Titles of its people; the first are the more common.
    pub(super) titles: &'static [Pair],
}

/// The working language of a kind of unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Swedish.
    Swedish,
    /// Finnish.
    Finnish,
    /// Either.
    Either,
}

use Language::{Either, Finnish, Swedish};

const TEACHERS: &[Pair] = &[
    ("Klasslärare", "Luokanopettaja"),
    ("Ämneslärare", "Aineenopettaja"),
    ("Skolgångshandledare", "Koulunkäynninohjaaja"),
    ("Speciallärare", "Erityisopettaja"),
    ("Skolkurator", "Koulukuraattori"),
    ("Skolsekreterare", "Koulusihteeri"),
];

const CARERS: &[Pair] = &[
    ("Närvårdare", "Lähihoitaja"),
    ("Sjukskötare", "Sairaanhoitaja"),
    ("Vårdbiträde", "Hoiva-avustaja"),
    ("Ergoterapeut", "Toimintaterapeutti"),
];

#[rustfmt::skip]
pub(super) const KINDS: &[Kind] = &[
    Kind { noun: ("daghem", "päiväkoti"), department: 3, share: 24, staff: 12, language: Either,
        head: ("Daghemsföreståndare", "Päiväkodin johtaja"), titles: &[
            ("Barnskötare inom småbarnspedagogik", "Varhaiskasvatuksen lastenhoitaja"),
            ("Lärare inom småbarnspedagogik", "Varhaiskasvatuksen opettaja"),
            ("Assistent", "Avustaja")] },
    Kind { noun: ("skola", "koulu"), department: 4, share: 8, staff: 26, language: Swedish,
        head: ("Rektor", "Rehtori"), titles: TEACHERS },
    Kind { noun: ("skola", "koulu"), department: 5, share: 14, staff: 30, language: Finnish,
        head: ("Rektor", "Rehtori"), titles: TEACHERS },
    Kind { noun: ("gymnasium", "lukio"), department: 5, share: 2, staff: 28, language: Finnish,
        head: ("Rektor", "Rehtori"), titles: &[
            ("Lektor", "Lehtori"), ("Timlärare", "Tuntiopettaja"), ("Studiehandledare", "Opinto-ohjaaja")] },
    Kind { noun: ("medborgarinstitut", "kansalaisopisto"), department: 6, share: 1, staff: 12, language: Either,
        head: ("Rektor", "Rehtori"), titles: &[
            ("Timlärare", "Tuntiopettaja"), ("Utbildningsplanerare", "Koulutussuunnittelija")] },
    Kind { noun: ("hemvårdsområde", "kotihoitoalue"), department: 7, share: 9, staff: 30, language: Either,
        head: ("Hemvårdsledare", "Kotihoidon esihenkilö"), titles: CARERS },
    Kind { noun: ("servicehem", "palvelutalo"), department: 8, share: 10, staff: 24, language: Either,
        head: ("Föreståndare", "Palveluesihenkilö"), titles: CARERS },
    Kind { noun: ("hälsocentral", "terveysasema"), department: 9, share: 5, staff: 34, language: Either,
        head: ("Ledande läkare", "Johtava lääkäri"), titles: &[
            ("Sjukskötare", "Sairaanhoitaja"), ("Hälsovårdare", "Terveydenhoitaja"), ("Läkare", "Lääkäri"),
            ("Tandskötare", "Hammashoitaja"), ("Fysioterapeut", "Fysioterapeutti")] },
    Kind { noun: ("socialstation", "sosiaaliasema"), department: 10, share: 3, staff: 14, language: Either,
        head: ("Ledande socialarbetare", "Johtava sosiaalityöntekijä"), titles: &[
            ("Socialarbetare", "Sosiaalityöntekijä"), ("Socialhandledare", "Sosiaaliohjaaja")] },
    Kind { noun: ("bibliotek", "kirjasto"), department: 11, share: 4, staff: 6, language: Either,
        head: ("Bibliotekschef", "Kirjastonjohtaja"), titles: &[
            ("Biblioteksfunktionär", "Kirjastovirkailija"), ("Bibliotekarie", "Kirjastonhoitaja")] },
    Kind { noun: ("idrottshall", "liikuntahalli"), department: 12, share: 3, staff: 6, language: Either,
        head: ("Idrottschef", "Liikuntapäällikkö"), titles: &[
            ("Idrottsplatsskötare", "Liikuntapaikanhoitaja"), ("Simlärare", "Uinninopettaja")] },
    Kind { noun: ("ungdomsgård", "nuorisotalo"), department: 13, share: 4, staff: 5, language: Either,
        head: ("Ungdomschef", "Nuorisopäällikkö"), titles: &[
            ("Ungdomsledare", "Nuoriso-ohjaaja"), ("Uppsökande ungdomsarbetare", "Etsivä nuorisotyöntekijä")] },
    Kind { noun: ("fastighetsområde", "kiinteistöalue"), department: 14, share: 3, staff: 10, language: Either,
        head: ("Fastighetschef", "Kiinteistöpäällikkö"), titles: &[
            ("Fastighetsskötare", "Kiinteistönhoitaja"), ("Städare", "Siivooja"), ("Elmontör", "Sähköasentaja")] },
    Kind { noun: ("parkdistrikt", "puistoalue"), department: 15, share: 3, staff: 10, language: Either,
        head: ("Stadsträdgårdsmästare", "Kaupunginpuutarhuri"), titles: &[
            ("Parkarbetare", "Puistotyöntekijä"), ("Trädgårdsmästare", "Puutarhuri"), ("Maskinförare", "Koneenkuljettaja")] },
    Kind { noun: ("kök", "keittiö"), department: 16, share: 4, staff: 9, language: Either,
        head: ("Kökschef", "Keittiöpäällikkö"), titles: &[("Kock", "Kokki"), ("Köksbiträde", "Ruokapalvelutyöntekijä")] },
    Kind { noun: ("vattenverk", "vesilaitos"), department: 17, share: 1, staff: 8, language: Either,
        head: ("Driftschef", "Käyttöpäällikkö"), titles: &[("Processkötare", "Prosessinhoitaja"), ("Rörmontör", "Putkiasentaja")] },
];

/// Staff of the town's, a sector's or a department's own office, compared with [`Kind::staff`].
pub(super) const OFFICE_STAFF: usize = 7;

/// Titles of the heads of the town, a sector and a department.
pub(super) const OFFICE_HEADS: [Pair; 3] = [
    ("Stadsdirektör", "Kaupunginjohtaja"),
    ("Sektordirektör", "Toimialajohtaja"),
    ("Avdelningschef", "Osastopäällikkö"),
];

/// Titles in those offices.
pub(super) const OFFICE_TITLES: &[Pair] = &[
    ("Planerare", "Suunnittelija"),
    ("Sekreterare", "Sihteeri"),
    ("Specialsakkunnig", "Erityisasiantuntija"),
    ("Controller", "Controller"),
    ("Kommunikatör", "Viestintäasiantuntija"),
];

/// Parts of the town, in the genitive, as they stand before [`Kind::noun`].
#[rustfmt::skip]
pub(super) const PLACES: &[Pair] = &[
    ("Lärkbackens", "Kiurumäen"), ("Björknäs", "Koivuniemen"), ("Sandvikens", "Hiekkalahden"), ("Norrstrands", "Pohjoisrannan"),
    ("Granåsens", "Kuusiharjun"), ("Kvarnbäckens", "Myllypuron"), ("Söderängs", "Eteläniityn"), ("Fyrholmens", "Majakkasaaren"),
    ("Gråbergets", "Harmaakallion"), ("Hasselbackens", "Pähkinämäen"), ("Tallmons", "Mäntykankaan"), ("Klockarens", "Lukkarin"),
    ("Smedjans", "Sepänpajan"), ("Hamnens", "Sataman"), ("Torgets", "Torin"), ("Ekdungens", "Tammilehdon"),
    ("Älvbrinkens", "Jokitörmän"), ("Måsskärets", "Lokkiluodon"), ("Solsidans", "Päivänpuolen"), ("Rönnlundens", "Pihlajiston"),
    ("Ängshöjdens", "Niittykummun"), ("Stenbrons", "Kivisillan"), ("Tegelbrukets", "Tiilitehtaan"), ("Videängens", "Pajuniityn"),
    ("Orrmossens", "Teerisuon"), ("Tranåkerns", "Kurkipellon"), ("Alviks", "Leppälahden"), ("Bergbys", "Vuorikylän"),
    ("Dammens", "Padon"), ("Forsens", "Kosken"), ("Gammelstadens", "Vanhankaupungin"), ("Harabackens", "Jänismäen"),
    ("Isnäs", "Jääniemen"), ("Källans", "Lähteen"), ("Lillåns", "Pikkujoen"), ("Nybygges", "Uudisrakennuksen"),
    ("Ollonets", "Terhon"), ("Prästgårdens", "Pappilan"), ("Rosenlundens", "Ruusulehdon"), ("Åkerns", "Pellon"),
];
