import statistics

from peftlab.seeds import mean_and_spread


def test_mean_and_spread_are_those_of_a_sample():
    values = [0.5, 0.75, 0.25, 0.5]
    assert mean_and_spread(values) == (0.5, statistics.stdev(values))
    assert mean_and_spread([0.75]) == (0.75, 0.0)
