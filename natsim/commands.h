/* The subcommands, one file each. Each gets the arguments after its name and returns the exit
 * status. */
#ifndef NATSIM_COMMANDS_H
#define NATSIM_COMMANDS_H

int sim_cmd_profiles(int argc, char **argv);
int sim_cmd_places(int argc, char **argv);
int sim_cmd_verify(int argc, char **argv);
int sim_cmd_run(int argc, char **argv);
int sim_cmd_matrix(int argc, char **argv);
int sim_cmd_lab(int argc, char **argv);
int sim_cmd_report(int argc, char **argv);
int sim_cmd_merge(int argc, char **argv);
int sim_cmd_bench(int argc, char **argv);

#endif
