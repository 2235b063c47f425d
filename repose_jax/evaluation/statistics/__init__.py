"""Intervals, and the draws behind them."""
