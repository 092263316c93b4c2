//! Names of people as they occur side by side in a Nordic town. Given and family names are common ones and are combined
//! at random; nobody in particular is meant.

/// People whose names come from one language.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin {
    /// How many in a hundred.
    pub(super) share: usize,
    /// How many in a hundred of them read Swedish rather than Finnish.
    pub(super) swedish: usize,
    /// Given names.
    pub(super) given: &'static [&'static str],
    /// Family names.
    pub(super) family: &'static [&'static str],
}

/// Shares add up to a hundred.
pub(super) const ORIGINS: &[Origin] = &[
    Origin { share: 51, swedish: 3, given: FINNISH_GIVEN, family: FINNISH_FAMILY },
    Origin { share: 34, swedish: 94, given: SWEDISH_GIVEN, family: SWEDISH_FAMILY },
    Origin { share: 3, swedish: 20, given: SAMI_GIVEN, family: SAMI_FAMILY },
    Origin { share: 4, swedish: 15, given: BALTIC_GIVEN, family: BALTIC_FAMILY },
    Origin { share: 4, swedish: 35, given: SOUTHERN_GIVEN, family: SOUTHERN_FAMILY },
    Origin { share: 4, swedish: 30, given: EASTERN_GIVEN, family: EASTERN_FAMILY },
];

#[rustfmt::skip]
const FINNISH_GIVEN: &[&str] = &[
    "Aino", "Aada", "Aleksi", "Anna-Liisa", "Anneli", "Antti", "Arttu", "Eero", "Eeva", "Elina", "Emilia", "Enni",
    "Eveliina", "Hannele", "Hannu", "Heikki", "Heidi", "Helmi", "Henna", "Iida", "Ilkka", "Ilona", "Jaakko", "Jani",
    "Janne", "Jari", "Jenni", "Johanna", "Jouni", "Juha", "Juha-Pekka", "Jukka", "Jussi", "Kaarina", "Kaisa", "Kalle",
    "Kari", "Katja", "Katri", "Kirsi", "Lasse", "Lauri", "Leena", "Maarit", "Maija", "Marja-Leena", "Marjo", "Markku",
    "Matti", "Merja", "Mervi", "Miia", "Mika", "Mikko", "Minna", "Niina", "Noora", "Oili", "Olli", "Outi", "Päivi",
    "Paavo", "Pekka", "Pentti", "Petri", "Pirjo", "Päivikki", "Raija", "Reijo", "Riikka", "Ritva", "Saara", "Sakari",
    "Sami", "Sanna", "Sari", "Seija", "Sirpa", "Susanna", "Taina", "Tapio", "Tarja", "Teemu", "Terhi", "Tiina", "Timo",
    "Toni", "Tuija", "Tuomas", "Tuula", "Ulla", "Veera", "Veikko", "Venla", "Vesa", "Ville", "Virpi", "Väinö", "Yrjö",
];

#[rustfmt::skip]
const FINNISH_FAMILY: &[&str] = &[
    "Aalto", "Ahonen", "Alanen", "Anttila", "Autio", "Eskola", "Haapala", "Hakala", "Halonen", "Harju", "Heikkilä",
    "Heinonen", "Hiltunen", "Hirvonen", "Holopainen", "Huttunen", "Hämäläinen", "Hänninen", "Ikonen", "Jokinen",
    "Järvinen", "Kallio", "Karhu", "Karjalainen", "Kettunen", "Kinnunen", "Koivisto", "Koivula", "Kokko", "Korhonen",
    "Koskela", "Koskinen", "Kujala", "Kärkkäinen", "Laaksonen", "Lahtinen", "Laine", "Lampinen", "Lehtinen", "Lehtonen",
    "Leinonen", "Leppänen", "Lindén", "Luoma", "Manninen", "Mattila", "Miettinen", "Mikkola", "Moilanen", "Mustonen",
    "Mäenpää", "Mäkelä", "Mäki", "Mäkinen", "Nieminen", "Niskanen", "Nurmi", "Nyyssönen", "Oksanen", "Ollila",
    "Palomäki", "Partanen", "Peltola", "Pesonen", "Pitkänen", "Puustinen", "Pöyhönen", "Rantala", "Rautio", "Rinne",
    "Räsänen", "Saarinen", "Salmela", "Salo", "Salonen", "Savolainen", "Seppälä", "Sillanpää", "Suominen", "Säynäjäkangas",
    "Tamminen", "Tikkanen", "Toivonen", "Tuominen", "Turunen", "Uusitalo", "Vainio", "Vesterinen", "Virtanen", "Vuorinen",
    "Väisänen", "Väänänen", "Ylitalo", "Ylönen", "Äijälä",
];

#[rustfmt::skip]
const SWEDISH_GIVEN: &[&str] = &[
    "Agneta", "Alva", "Anders", "Anna-Karin", "Annika", "Astrid", "Axel", "Barbro", "Benita", "Bengt", "Bertil",
    "Birgitta", "Björn", "Bo-Göran", "Britt-Marie", "Camilla", "Carina", "Carl-Gustaf", "Christer", "Daniela", "Ebba",
    "Elin", "Elsa", "Emil", "Erik", "Eva-Lotta", "Filip", "Folke", "Fredrik", "Frida", "Gun-Britt", "Gunilla", "Gustav",
    "Göran", "Hedvig", "Henrik", "Håkan", "Ida", "Inga-Lill", "Ingrid", "Jan-Erik", "Jens", "Joakim", "Johan", "Jonas",
    "Karl-Johan", "Kerstin", "Kjell", "Klara", "Kristina", "Lars", "Leif", "Lena", "Linnéa", "Lisbeth", "Lotta", "Maj",
    "Maj-Britt", "Malin", "Margareta", "Mats", "Märta", "Mikael", "Monica", "Nils", "Ola", "Oskar", "Patrik", "Per-Olof",
    "Pia", "Ragnar", "Rasmus", "Rolf", "Rut", "Siv", "Sofia", "Stig", "Sune", "Susann", "Svante", "Sven-Olof", "Tage",
    "Tomas", "Tove", "Ulf", "Ulrika", "Viveca", "Åke", "Åsa", "Örjan",
];

#[rustfmt::skip]
const SWEDISH_FAMILY: &[&str] = &[
    "af Granholm", "af Sandell", "Ahlbäck", "Andersson", "Backlund", "Berg", "Berglund", "Björklund", "Björkman",
    "Blomqvist", "Boström", "Bäck", "Carlsson", "Dahlberg", "Ekholm", "Eklund", "Engblom", "Enlund", "Eriksson",
    "Fagerholm", "Forsblom", "Forsman", "Friman", "Granö", "Grönlund", "Grönroos", "Gustafsson", "Gädda", "Hagström",
    "Hedman", "Hellström", "Holm", "Holmberg", "Häggblom", "Häggkvist", "Isaksson", "Jansson", "Johansson", "Karlsson",
    "Knutar", "Kronqvist", "Kullberg", "Lillqvist", "Lind", "Lindberg", "Lindholm", "Lindqvist", "Lindroos", "Ljung",
    "Lundqvist", "Löfgren", "Lönnqvist", "Mattsson", "Nordlund", "Norrgård", "Nyberg", "Nygård", "Nylund", "Nyström",
    "Palmgren", "Pettersson", "Ravander", "Rosenlöf", "Rönnholm", "Sandström", "Sandås", "Siljander", "Sjöberg",
    "Sjöblom", "Skog", "Smeds", "Stenbäck", "Sundqvist", "Sundström", "Söderholm", "Söderlund", "Söderman", "Törnqvist",
    "von Hedenberg", "von Sandbäck", "Wallin", "Wallström", "Westerholm", "Wikström", "Åberg", "Ågren", "Åkerblom",
    "Ålander", "Åström", "Öhman", "Österberg", "Östman",
];

#[rustfmt::skip]
const SAMI_GIVEN: &[&str] = &[
    "Áile", "Ánne", "Ántte", "Biret", "Elle-Máret", "Heaika", "Inga-Ravdna", "Iŋgá", "Jovnna", "Láilá", "Máhtte", "Márjá",
    "Máret", "Niillas", "Ovllá", "Risten", "Sunná", "Ánde", "Čiske", "Káre",
];

#[rustfmt::skip]
const SAMI_FAMILY: &[&str] = &[
    "Aikio", "Guttorm", "Länsman", "Magga", "Morottaja", "Näkkäläjärvi", "Paadar", "Paltto", "Proksi", "Saijets",
    "Sara", "Sarre", "Tornensis", "Valkeapää", "Valle", "Vuolab", "Áŋŋel",
];

#[rustfmt::skip]
const BALTIC_GIVEN: &[&str] = &[
    "Aleksandr", "Anastasia", "Dmitri", "Ekaterina", "Iryna", "Jaanus", "Jelena", "Kadri", "Ksenia", "Liis", "Margus",
    "Mykola", "Natalia", "Oksana", "Olena", "Rasa", "Sergei", "Svetlana", "Tõnu", "Triin", "Urmas", "Valentina",
];

#[rustfmt::skip]
const BALTIC_FAMILY: &[&str] = &[
    "Ivanova", "Jõgi", "Kazlauskienė", "Kask", "Kozlov", "Kuznetsova", "Kõiv", "Lebedev", "Melnyk", "Mägi", "Orlova",
    "Petrenko", "Põder", "Rebane", "Saar", "Shevchenko", "Smirnov", "Sokolova", "Tamm", "Volkov", "Õunapuu", "Žukauskas",
];

#[rustfmt::skip]
const SOUTHERN_GIVEN: &[&str] = &[
    "Abdi", "Ahmed", "Aisha", "Ali", "Amal", "Amina", "Ayşe", "Dilan", "Fadumo", "Farah", "Fatima", "Hamza", "Hodan",
    "Ibrahim", "Khadra", "Layla", "Mahmoud", "Maryam", "Mohamed", "Nasra", "Nour", "Omar", "Rojin", "Samira", "Şirin",
    "Yusuf", "Zahra",
];

#[rustfmt::skip]
const SOUTHERN_FAMILY: &[&str] = &[
    "Abdullahi", "Abdulrahman", "Ahmadi", "Al-Hassan", "Al-Najjar", "Demir", "Duale", "Farah", "Haddad", "Hassan",
    "Hosseini", "Hussein", "Ibrahim", "Jama", "Kaya", "Khalil", "Mohamud", "Nur", "Osman", "Öztürk", "Rahimi", "Salim",
    "Warsame", "Yılmaz", "Yusuf",
];

#[rustfmt::skip]
const EASTERN_GIVEN: &[&str] = &[
    "Anh", "Arjun", "Bich", "Carmen", "Chen", "Dung", "Grace", "Hoa", "Jasmine", "José", "Kanya", "Lan", "Linh", "Mei",
    "Minh", "Nattaya", "Ngoc", "Priya", "Ramesh", "Rosa-María", "Somchai", "Sunita", "Thuy", "Wei",
];

#[rustfmt::skip]
const EASTERN_FAMILY: &[&str] = &[
    "Bui", "Chaiyaporn", "Chen", "D'Souza", "da Silva", "Dang", "de la Cruz", "Gurung", "Huỳnh", "Lê", "Li", "Nguyễn",
    "Núñez", "Patel", "Phạm", "Reyes", "Santos", "Sharma", "Srisai", "Thapa", "Trần", "Vũ", "Wang", "Zhang",
];
