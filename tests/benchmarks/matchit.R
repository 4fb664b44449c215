# Matched controls and their effect by the R package MatchIt, for bench_matchit.py.
# Usage: Rscript matchit.R UNITS.csv PAIRS.csv RATIO; prints one JSON line.
# Nearest neighbours by the Mahalanobis distance within a caliper of .2 of the propensity score, without replacement;
# the effect is a weighted regression of the change on treatment and covariates, with errors clustered by set and block.
suppressPackageStartupMessages({library(MatchIt); library(sandwich)})
arguments <- commandArgs(trailingOnly = TRUE)
units <- read.csv(arguments[1])
covariates <- grep("^x[0-9]+$", names(units), value = TRUE)
formula <- reformulate(covariates, "treated")
began <- proc.time()[["elapsed"]]
matched <- matchit(formula, data = units, method = "nearest", distance = "glm", caliper = 0.2,
                   mahvars = reformulate(covariates), exact = if (length(unique(units$exact)) > 1) ~exact else NULL,
                   ratio = as.integer(arguments[3]))
seconds <- proc.time()[["elapsed"]] - began
sets <- match.data(matched)
fit <- lm(reformulate(c("treated", covariates), "change"), data = sets, weights = weights)
interval <- function(cluster) {
  error <- sqrt(vcovCL(fit, cluster = cluster)["treated", "treated"])
  coef(fit)[["treated"]] + c(-1, 1) * qnorm(0.975) * error
}
pairs <- as.data.frame(matched$match.matrix)
pairs$treated <- rownames(matched$match.matrix)
write.csv(pairs, arguments[2], row.names = FALSE)
by_set <- interval(~subclass); by_block <- interval(~block)
balance <- summary(matched, standardize = TRUE)$sum.matched
worst <- max(abs(balance[covariates, "Std. Mean Diff."]))
cat(sprintf('{"effect": %.6f, "set": [%.6f, %.6f], "block": [%.6f, %.6f], "matched": %d, "smd": %.4f, "s": %.2f}\n',
            coef(fit)[["treated"]], by_set[1], by_set[2], by_block[1], by_block[2], sum(sets$treated), worst, seconds))
