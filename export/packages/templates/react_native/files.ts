/** The bundle's files by their paths in it, as Metro's assets. `edgedistill app react_native` wrote this. */
export const FILES: Record<string, number> = {
{{files:raw}}
};
