"""No number, and nothing that follows from numbers, tells of fewer than five people."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from courseapp.insights.fives import DAYS, LONGER, Figures, Way, added_up, carried, in_fives
from courseapp.learning.enrolment import FEWEST

LESSONS = [11, 12, 13, 14, 15]

ways = st.builds(Way, st.integers(0, 2 ** len(LESSONS) - 1), st.sampled_from((0, 0, 0, *DAYS, LONGER)))
crowds = st.lists(ways, max_size=60).map(Counter)


def shown(people: Counter[Way]) -> Figures:
    """What the page says of these people."""
    return added_up(in_fives(people), LESSONS)


@given(crowds)
def test_the_page_could_be_that_of_people_who_come_in_fives_alike(people: Counter[Way]) -> None:
    """Whatever is worked out from the page holds in both courses, and in the second there is no group of one to four."""
    others = in_fives(people)
    assert all(count % FEWEST == 0 for count in others.values())
    assert in_fives(others) == others
    assert shown(others) == shown(people)


@given(crowds)
def test_no_number_is_above_what_there_is_or_of_less_than_five(people: Counter[Way]) -> None:
    figures, true = shown(people), added_up(people, LESSONS)
    pairs = [(figures.enrolled, true.enrolled), (figures.started, true.started), (figures.finished, true.finished)]
    pairs += [(figures.lessons[key], true.lessons[key]) for key in true.lessons]
    for told, there in pairs:
        assert told <= there
        assert told % FEWEST == 0
        assert told == 0 or there >= FEWEST
    assert figures.enrolled > true.enrolled - FEWEST


@given(crowds)
def test_in_whatever_order_they_stand_they_come_in_fives(people: Counter[Way]) -> None:
    """As `after_mails.py` has them stand: by the number that their bits are."""
    groups = in_fives(people, lambda way: -way.done)
    assert all(count % FEWEST == 0 for count in groups.values())
    assert groups.total() == people.total() - people.total() % FEWEST
    told, true = added_up(groups, LESSONS), added_up(people, LESSONS)
    assert all(told.lessons[key] <= true.lessons[key] for key in true.lessons)


@given(st.lists(st.integers(0, len(LESSONS)), max_size=80))
def test_of_people_who_go_in_order_no_more_than_four_are_lost_at_any_lesson(reached: list[int]) -> None:
    people = Counter(Way(2**lessons - 1, 0) for lessons in reached)
    figures, true = shown(people), added_up(people, LESSONS)
    assert figures.lessons == {key: count - count % FEWEST for key, count in true.lessons.items()}


def test_what_rounding_each_number_would_give_away() -> None:
    """Nine people; five did one lesson, five the other. Rounded one by one: 5, 5, 5, and fewer than five both, so one to four did both."""
    people = Counter({Way(0b01, 0): 4, Way(0b10, 0): 4, Way(0b11, 1): 1})
    assert shown(people) == Figures(5, 5, 0, 0, {"11": 5, "12": 0, "13": 0, "14": 0, "15": 0})


def test_half_of_those_who_finished() -> None:
    people = Counter({Way(31, 3): 10, Way(31, 14): 5, Way(31, LONGER): 5, Way(1, 0): 30})
    assert shown(people) == Figures(50, 50, 20, 3, {"11": 50, "12": 20, "13": 20, "14": 20, "15": 20})


@given(st.lists(st.integers(0, 12), max_size=40))
def test_days_in_a_row_are_whole_fives_and_lose_at_most_four_together(counts: list[int]) -> None:
    told = carried(counts)
    assert all(count % FEWEST == 0 and count >= 0 for count in told)
    assert carried(told) == told  # days on which people came in fives would look the same
    for end in range(len(counts) + 1):
        assert 0 <= sum(counts[:end]) - sum(told[:end]) < FEWEST


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.data())
def test_no_stretch_of_days_pins_one_to_four(counts: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(counts) - 1))
    end = data.draw(st.integers(start + 1, len(counts)))
    told = sum(carried(counts)[start:end])
    least, most = max(0, told - FEWEST + 1), told + FEWEST - 1
    assert least <= sum(counts[start:end]) <= most
    assert least == 0 or most >= FEWEST
