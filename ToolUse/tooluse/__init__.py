"""Questions with tools of one's own, one question a module.

conversations  how are messages with tools written as plain text?
questions      questions made from templates
layouts        public data sets of tool calls as our rows
teacher        which calls would make a plain text likelier?
pairs          which completions does DPO reject?
episodes       how does a question go on, and what is measured? With a policy in training: watch, rollout
schemas        is a tool's schema usable, and do the arguments of a call fit it?
calculator     what is the value of an expression?
limited        how does a function run that may not return?
"""
