"""How numbers are written in each language: the decimal sign, and what stands between groups of digits where."""

import re
from typing import NamedTuple

from ingot_server.pipeline.values.codes_data import COUNTRIES


class Spelling(NamedTuple):
    """How a locale writes numbers."""

    decimal: str
    group: str
    last: int
    """How many digits the last group before the decimal sign has."""
    others: int
    """How many digits the other groups have, but for the first, which may have fewer."""


_LOOK_ALIKES = (" \u00a0\u202f", "'\u2019")
_TAG_CHARACTERS_MAX = 11
_TAG = re.compile(r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-([a-z]{2}|[0-9]{3}))?")
# The last four are no countries of ISO 3166-1, but regions of CLDR: Diego Garcia, Ceuta and Melilla, the Canary
# Islands and Kosovo.
_REGIONS = frozenset(code.lower() for code in COUNTRIES.values()) | {"dg", "ea", "ic", "xk"}


def is_locale(tag: str) -> bool:
    """Whether numbers can be read in this locale, such as `de`, `de-AT` or `pt_BR`."""
    return _found(tag) is not None


def spelling(tag: str) -> Spelling:
    """How this locale writes numbers. Raises ValueError if it is not known."""
    found = _found(tag)
    if found is None:
        raise ValueError(f"there is no locale {tag!r}")
    return found


def group_signs(spelling: Spelling) -> str:
    """The group sign, and those that people write for it because their keyboards have no other."""
    return next((signs for signs in _LOOK_ALIKES if spelling.group in signs), spelling.group)


def _found(tag: str) -> Spelling | None:
    if len(tag) > _TAG_CHARACTERS_MAX:
        return None
    parts = _TAG.fullmatch(tag.lower().replace("_", "-")) if tag.isascii() else None
    if not parts:
        return None
    language, script, region = parts.groups()
    if region and region not in _REGIONS and not region.isdigit():
        return None
    tags = (f"{language}-{script}-{region}", f"{language}-{script}", f"{language}-{region}", language)
    return next((_SPELLINGS[tag] for tag in tags if tag in _SPELLINGS), None)


# Generated from CLDR by Babel 2.18.0 (Latin digits); not to be edited by hand. A tag is left out where it is written
# like the shorter tag that `_found` falls back to.
_TAGS = {
    Spelling(".", ",", 3, 3): (
        "aa ab ak am an ann apc ar arn asa az-arab az-cyrl az-iq az-ir ba bal bem bew bez bgc bho blt bm "
        "bo bss byn cad cch ce ceb cgg cho chr cic ckb co cop csw cu cy dav doi ebu ee en es-419 es-br "
        "es-bz es-cu es-do es-gt es-hn es-mx es-ni es-pa es-pe es-pr es-sv es-us fa fil frr fur ga gaa gd "
        "gez gn guz gv ha haw he hnj ig ii io iu iw ja jbo ji jmc kaa kaj kam kcg kde ken ki kk-arab "
        "kk-cn kln km kn ko kok kpe ks-deva ksb ksh kw la lag lg lkt lmo lrc ltg luo luy mai mas mdf mer "
        "mg mgo mhn mi mic mn mni moh ms mt mus my myv mzn naq nd nds nus nv ny nyn oc om os osa pa-arab "
        "pa-pk pap pcm pis prg qu quc raj rhg rif rof rwk saq sat sbp scn sd sdh shn si sid skr sma smj "
        "sms sn so ssy st sw syr szl ta-my ta-sg teo th ti tig tl to tpi trv trw tyv ug ur vai vmw vo vun "
        "wa wae wal wbp xog yi yo yue za zh zu "
    ),
    Spelling(",", ".", 3, 3): (
        "ar-dz ar-lb ar-ly ar-ma ar-mr ar-tn ast az bs ca da de dsb el en-at en-be en-de en-dk en-es "
        "en-id en-it en-nl en-pl en-ro en-si es eu fo fr-lu fy gl hr hsb ia id in is it jgo jv kgp kkj kl "
        "ku lb lij lld ln lo lu mgh mk mo ms-bn ms-id mua nl nnh ps pt qu-bo rn ro rw sc seh sg sh sl sr "
        "su sw-cd tr uz-af uz-arab vi wo yrl "
    ),
    Spelling(",", "\xa0", 3, 3): (
        "af agq bas be bg blo br cs cv dua dyo en-cz en-fi en-hu en-no en-pt en-se en-sk en-za eo es-cr "
        "et ewo ff fi fr-ca ht hu hy ie ka kab kea kk ksf ky lt lv nb nmg nn no nr pl pt-ao pt-ch pt-cv "
        "pt-gq pt-gw pt-lu pt-mo pt-mz pt-pt pt-st pt-tl ru sah se shi sk smn sq ss sv tg tk ts tt tzm uk "
        "uz ve yav zgh "
    ),
    Spelling(".", ",", 3, 2): ("as bn brx ccp dv dz en-in gu hi kok-latn kxv ml mr ne or pa sa ta te xnr "),
    Spelling(".", "\xa0", 3, 3): ("dje khq mfe nso ses twq xh "),
    Spelling(".", "\u2019", 3, 3): ("de-ch de-li en-ch gsw it-ch rm tn "),
    Spelling(",", "\u202f", 3, 3): ("en-fr fr vec "),
    Spelling(".", "\u060c", 3, 3): ("ks nqo "),
    Spelling("\u066b", "\u060c", 3, 3): ("bgn "),
    Spelling(",", "\xa0", 2, 2): ("tok "),
    Spelling(".", "\u2e41", 3, 3): ("ff-adlm "),
}
_SPELLINGS = {tag: spelling for spelling, tags in _TAGS.items() for tag in tags.split()}
