//! Words that people, organizations and addresses are made of. All e-mail domains are reserved for examples.

/// First names: as written, and in the letters of an e-mail address.
pub(super) const FIRST_NAMES: &[(&str, &str)] = &[
    ("Åse", "ase"),
    ("Amélie", "amelie"),
    ("Anna-Lena", "anna.lena"),
    ("Asha", "asha"),
    ("Bjørn", "bjorn"),
    ("Carlos", "carlos"),
    ("Chiara", "chiara"),
    ("Daniel", "daniel"),
    ("D'Arcy", "darcy"),
    ("Elif", "elif"),
    ("Emily", "emily"),
    ("François", "francois"),
    ("Grace", "grace"),
    ("Hanna", "hanna"),
    ("Hiroshi", "hiroshi"),
    ("Ingrid", "ingrid"),
    ("Jean-Luc", "jean.luc"),
    ("João", "joao"),
    ("Joseph", "joseph"),
    ("Katarzyna", "katarzyna"),
    ("Lena Marie", "lena.marie"),
    ("Łukasz", "lukasz"),
    ("Mary Ann", "mary.ann"),
    ("Matthias", "matthias"),
    ("Mei", "mei"),
    ("Muhammad", "muhammad"),
    ("Ngozi", "ngozi"),
    ("Niamh", "niamh"),
    ("Oliver", "oliver"),
    ("Pedro", "pedro"),
    ("Priya", "priya"),
    ("Renée", "renee"),
    ("Samuel", "samuel"),
    ("Siobhán", "siobhan"),
    ("Søren", "soren"),
    ("Tomáš", "tomas"),
    ("Ursula", "ursula"),
    ("Yusuf", "yusuf"),
    ("Zoë", "zoe"),
    ("Zsófia", "zsofia"),
];

/// Last names: as written, and in the letters of an e-mail address.
pub(crate) const LAST_NAMES: &[(&str, &str)] = &[
    ("Almeida", "almeida"),
    ("Andersen", "andersen"),
    ("Bäcker", "baecker"),
    ("Bianchi", "bianchi"),
    ("Chowdhury", "chowdhury"),
    ("D'Angelo", "dangelo"),
    ("de la Cruz", "delacruz"),
    ("Dvořák", "dvorak"),
    ("Eriksson", "eriksson"),
    ("Fernández García", "fernandez"),
    ("Fitzgerald", "fitzgerald"),
    ("Garnier", "garnier"),
    ("González-Ruiz", "gonzalez.ruiz"),
    ("Haddad", "haddad"),
    ("Hernández", "hernandez"),
    ("Hughes", "hughes"),
    ("Iwasaki", "iwasaki"),
    ("Jóhannsdóttir", "johannsdottir"),
    ("Kamau", "kamau"),
    ("Kowalczyk", "kowalczyk"),
    ("Larsen", "larsen"),
    ("Lefèvre", "lefevre"),
    ("MacLeod", "macleod"),
    ("Meyer-Schulte", "meyer.schulte"),
    ("Müller", "mueller"),
    ("Nakamura", "nakamura"),
    ("Ní Dhomhnaill", "nidhomhnaill"),
    ("Novák", "novak"),
    ("O'Brien", "obrien"),
    ("O'Sullivan", "osullivan"),
    ("Okafor", "okafor"),
    ("Østergård", "ostergard"),
    ("Papadakis", "papadakis"),
    ("Pérez", "perez"),
    ("Popescu", "popescu"),
    ("Quinn", "quinn"),
    ("Ramanathan", "ramanathan"),
    ("Rossi", "rossi"),
    ("Schneider", "schneider"),
    ("Silva Santos", "silva.santos"),
    ("Smith-Jones", "smith.jones"),
    ("Szabó", "szabo"),
    ("Tanaka", "tanaka"),
    ("van den Berg", "vandenberg"),
    ("von Bülow", "vonbuelow"),
    ("Weiß", "weiss"),
    ("Wójcik", "wojcik"),
    ("Yılmaz", "yilmaz"),
    ("Zhang", "zhang"),
    ("Žukauskas", "zukauskas"),
];

pub(super) const DOMAINS: &[&str] = &["example.com", "example.org", "example.net", "mail.example", "post.example"];

pub(crate) const TITLES: &[&str] = &[
    "Account Manager",
    "Buyer",
    "CEO",
    "Chief Engineer",
    "Controller",
    "Head of Purchasing",
    "IT Manager",
    "Office Manager",
    "Plant Manager",
    "Sales Director",
    "Technician",
    "Warehouse Lead",
];

pub(crate) const DEPARTMENTS: &[&str] = &[
    "Accounting",
    "Customer Care",
    "Engineering",
    "IT",
    "Legal",
    "Logistics",
    "Marketing",
    "Purchasing",
    "R&D",
    "Sales",
];

pub(super) const SALUTATIONS: &[&str] = &["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."];

/// City, state or county, a post code of its form, country, and its dialling code.
pub(super) struct Place {
    pub(super) city: &'static str,
    pub(super) state: &'static str,
    pub(super) zip: &'static str,
    pub(super) country: &'static str,
    pub(super) dial: &'static str,
}

const fn place(
    city: &'static str,
    state: &'static str,
    zip: &'static str,
    country: &'static str,
    dial: &'static str,
) -> Place {
    Place { city, state, zip, country, dial }
}

pub(super) const PLACES: &[Place] = &[
    place("Bergen", "Vestland", "5003", "Norway", "47"),
    place("Bengaluru", "Karnataka", "560001", "India", "91"),
    place("Boston", "MA", "02110", "United States", "1"),
    place("Cork", "County Cork", "T12 X8RW", "Ireland", "353"),
    place("Göteborg", "Västra Götaland", "411 04", "Sweden", "46"),
    place("Kraków", "Małopolska", "31-042", "Poland", "48"),
    place("Lyon", "Auvergne-Rhône-Alpes", "69002", "France", "33"),
    place("Melbourne", "VIC", "3000", "Australia", "61"),
    place("München", "Bayern", "80331", "Germany", "49"),
    place("Osaka", "Osaka", "530-0001", "Japan", "81"),
    place("São Paulo", "SP", "01310-100", "Brazil", "55"),
    place("Valencia", "Comunitat Valenciana", "46002", "Spain", "34"),
];

pub(super) const STREETS: &[&str] = &[
    "Storgata",
    "Harbour Road",
    "Rue de l'Église",
    "Bahnhofstraße",
    "Calle Mayor",
    "Station Street",
    "MG Road",
    "Via Roma",
];

pub(super) const ORGANIZATION_FIRST: &[&str] = &[
    "Nordlys",
    "Blue Harbour",
    "Alpen",
    "Sunrise",
    "Citadel",
    "Verde",
    "Lumen",
    "Oak & Iron",
    "Delta",
    "Kestrel",
    "Meridian",
    "Old Mill",
    "Quarry",
    "Silver Birch",
    "Tidal",
    "Union",
];
pub(super) const ORGANIZATION_LAST: &[&str] =
    &["Foods", "Logistics", "Energy", "Textiles", "Robotics", "Pharma", "Media"];
pub(super) const ORGANIZATION_FORM: &[&str] = &["AS", "GmbH", "Ltd", "Inc.", "S.A."];

pub(super) const DESCRIPTIONS: &[&str] = &[
    "Met at the spring fair.",
    "Prefers calls before noon.",
    "Asked for the price list; follow up in March.",
    "Decides together with the plant manager.",
    "Long-standing customer.\nHas two sites.",
    "Needs <b>ISO 9001</b> papers & a \"sample\" order.",
    "Speaks English, français et español.",
];

/// One code point each: a CRM with three-byte text stores every one of them as four question marks.
pub(super) const EMOJI: &[&str] = &["🎉", "😀", "🚚", "📞"];
