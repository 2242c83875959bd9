"""Word lists of the sample shop: names by country, the catalogue, paths. No SQL and no rules about data here.

Every name is spelt as its country spells it, so that readable accents and mis-encoded ones are both in the files.
"""

from __future__ import annotations

# 32 slots: a country's share of customers is the number of its slots.
COUNTRY_SLOTS = (
    *("DE",) * 6, *("GB",) * 5, *("FR",) * 4, *("ES",) * 3, *("IT",) * 2, *("NL",) * 2, *("PL",) * 2,
    "AT", "BE", "CH", "DK", "SE", "NO", "IE", "PT",
)  # fmt: skip
# Ships abroad now and then; the United States only as a destination.
ABROAD = ("US", "CH", "AT", "BE", "FR", "NL", "GB", "DE")

FIRST_NAMES: dict[str, tuple[str, ...]] = {
    "AT": ("Anna", "Lukas", "Johanna", "Florian", "Magdalena", "Jürgen", "Theresa", "Matthias"),
    "BE": ("Emma", "Noah", "Élise", "Arthur", "Lotte", "Maxime", "Amélie", "Wout"),
    "CH": ("Mia", "Luca", "Léa", "Urs", "Céline", "Reto", "Noémie", "Beat"),
    "DE": ("Lena", "Jonas", "Käthe", "Björn", "Sophie", "Jörg", "Hannah", "Felix"),
    "DK": ("Freja", "Søren", "Ida", "Rasmus", "Karen", "Jørgen", "Signe", "Mikkel"),
    "ES": ("Lucía", "José", "María", "Álvaro", "Carmen", "Íñigo", "Sofía", "Raúl"),
    "FR": ("Chloé", "Hugo", "Zoé", "Rémi", "Manon", "François", "Inès", "Gaël"),
    "GB": ("Olivia", "George", "Amelia", "Oliver", "Isla", "Harry", "Poppy", "Alfie"),
    "IE": ("Aoife", "Conor", "Niamh", "Seán", "Saoirse", "Pádraig", "Róisín", "Liam"),
    "IT": ("Giulia", "Niccolò", "Francesca", "Lorenzo", "Chiara", "Andrea", "Martina", "Matteo"),
    "NL": ("Fleur", "Daan", "Sanne", "Sem", "Zoë", "Joris", "Maud", "Thijs"),
    "NO": ("Nora", "Håkon", "Ingrid", "Øyvind", "Astrid", "Lars", "Solveig", "Bjørn"),
    "PL": ("Zofia", "Paweł", "Małgorzata", "Michał", "Hanna", "Łukasz", "Agnieszka", "Jan"),
    "PT": ("Beatriz", "João", "Inês", "Tomás", "Mariana", "António", "Leonor", "Simão"),
    "SE": ("Alva", "Åke", "Elsa", "Göran", "Maja", "Björn", "Wilma", "Nils"),
}
LAST_NAMES: dict[str, tuple[str, ...]] = {
    "AT": ("Gruber", "Huber", "Bauer", "Wagner", "Pichler", "Steiner", "Moser", "Hofer", "Mayr", "Köck"),
    "BE": ("Peeters", "Janssens", "Maes", "Dubois", "Lambert", "Claes", "Dupont", "Leclercq", "Mertens", "Goossens"),
    "CH": ("Müller", "Meier", "Schmid", "Keller", "Weber", "Favre", "Rochat", "Brunner", "Bianchi", "Zürcher"),
    "DE": ("Müller", "Schmidt", "Schneider", "Fischer", "Weiß", "Becker", "Schäfer", "Koch", "Krüger", "Groß"),
    "DK": ("Nielsen", "Jensen", "Hansen", "Sørensen", "Møller", "Kjær", "Holm", "Lund", "Østergaard", "Bach"),
    "ES": ("García", "Fernández", "Muñoz", "López", "Ibáñez", "Pérez", "Gómez", "Núñez", "Ruiz", "Ortega"),
    "FR": ("Martin", "Bernard", "Lefèvre", "Moreau", "Girard", "Besançon", "Roux", "Mercier", "Benoît", "Garnier"),
    "GB": ("Smith", "Jones", "O'Connor", "Taylor", "Patel", "Wright", "Hughes", "Khan", "Bennett", "Reid"),
    "IE": ("Murphy", "Kelly", "O'Sullivan", "Walsh", "Byrne", "Ryan", "Ó Briain", "Doyle", "McCarthy", "Nolan"),
    "IT": ("Rossi", "Russo", "Ferrari", "Esposito", "Romano", "Greco", "D'Angelo", "Conti", "Gallo", "Niccolai"),
    "NL": ("de Jong", "Jansen", "de Vries", "van den Berg", "Bakker", "Visser", "Smit", "Meijer", "Mulder", "Bos"),
    "NO": ("Hansen", "Johansen", "Olsen", "Berg", "Haugen", "Bakken", "Solbakken", "Strøm", "Moen", "Lie"),
    "PL": ("Nowak", "Kowalski", "Wiśniewska", "Wójcik", "Zając", "Król", "Jabłońska", "Mazur", "Dąbrowski", "Pawlak"),
    "PT": ("Silva", "Santos", "Ferreira", "Simões", "Gonçalves", "Araújo", "Sousa", "Brandão", "Leitão", "Costa"),
    "SE": ("Andersson", "Johansson", "Nilsson", "Sjöberg", "Lindström", "Ek", "Åkesson", "Holm", "Öberg", "Lind"),
}
# Domains that RFC 2606 keeps for examples: no mail can ever reach a person.
MAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "post.example.org")

ADJECTIVES = (
    "Oak",
    "Linen",
    "Brushed Steel",
    "Hand-thrown",
    "Recycled",
    "Vintage",
    "Nordic",
    "Walnut",
    "Enamel",
    "Fluted",
)
NOUNS: dict[str, tuple[str, ...]] = {
    "Kitchen": ("Serving Board", "Café Mug", "Salad Bowl", "Pepper Mill", "Crème Brûlée Dish", "Kettle"),
    "Living": ("Wall Clock", "Picture Frame", "Cushion", "Throw", "Side Table", "Candle Holder"),
    "Garden": ("Watering Can", "Planter", "Bird Feeder", "Lantern", "Trowel", "Hose Reel"),
    "Office": ("Desk Organiser", "Notebook", "Pen Tray", "Bookend", "Desk Lamp", "Letter Rack"),
    "Bath": ("Bath Towel", "Soap Dish", "Robe Hook", "Bath Mat", "Storage Jar", "Mirror"),
    "Toys": ("Spinning Top", "Wooden Train", "Puzzle", "Kite", "Doll's House", "Building Blocks"),
}
# Commas and quotes on purpose: the CSV files need RFC 4180 quoting.
VARIANTS = (
    "",
    ", small",
    ", large",
    ", set of 4",
    ' 12"',
    ' 24" x 36"',
    ' "Good Morning"',
    " with lid",
    " (pair)",
    ", 500 ml",
)

PAGES = (
    "/",
    "/new",
    "/sale",
    "/categories/kitchen",
    "/categories/living",
    "/categories/garden",
    "/about",
    "/search?q=mug",
)
