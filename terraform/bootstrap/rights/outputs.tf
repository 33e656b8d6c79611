output "read" {
  description = "Statements that let one read the environment, by the policy that they go into."
  value       = local.read
}

output "write" {
  description = "Statements that let one change the environment, by the policy that they go into."
  value       = local.write
}

output "plan_actions" {
  description = "All actions that a plan may take on the environment: what reading it takes."
  value       = sort(distinct(flatten([for statement in flatten(values(local.read)) : statement.Action])))
}

output "deploy_actions" {
  description = "All actions that a deployment may take on the environment: to read, to change, to run tasks."
  value       = sort(distinct(flatten([for statement in flatten([values(local.read), values(local.write)]) : statement.Action if statement.Effect == "Allow"])))
}
