-- From 0.3.0 to 0.4.0: the log of agents, tools, and agents that run in the database.

\echo Use "ALTER EXTENSION ragstone UPDATE TO '0.4.0'" to load this file. \quit
