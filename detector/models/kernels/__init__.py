"""The compiled inner loop: each new sample of each series, from value to verdict, once.

Everything here uses samples before t and the one at t, nothing else. All state is plain arrays, a
row a series (`layout`); each member is one file; `steps` runs them over the samples of a frame.
"""
