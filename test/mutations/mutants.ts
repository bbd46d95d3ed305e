import { join } from 'node:path'
import { type Expression, type Node, SyntaxKind } from 'typescript/unstable/ast'
import * as is from 'typescript/unstable/ast/is'
import { API } from 'typescript/unstable/sync'

/** A mistake that can be made at one place of a file. */
export interface Mutant {
  /** From the project's folder. */
  readonly file: string
  readonly line: number
  /** Where its text is in the file. */
  readonly start: number
  readonly text: string
  readonly instead: string
}

/** Every mutant of some files, in the order of their text. */
export function mutantsOf(root: string, files: readonly string[]): Mutant[] {
  const api = new API({ cwd: root })
  try {
    const [project] = api.updateSnapshot({ openProject: join(root, 'tsconfig.json') }).getProjects()
    return files.flatMap(file => {
      const source = project?.program.getSourceFile(join(root, file))
      if (source === undefined) throw new Error(`Expected a source file of the project, got ${file}`)
      const { text } = source
      const mutants: Mutant[] = []
      visit(source, ({ start, end, instead }) => {
        const line = text.slice(0, start).split('\n').length
        mutants.push({ file, line, start, text: text.slice(start, end), instead })
      })
      return mutants
    })
  } finally {
    api.close()
  }
}

type Add = (change: { start: number; end: number; instead: string }) => void

const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  ...{ '+': ['-'], '-': ['+'], '*': ['/'], '/': ['*'], '%': ['*'], '**': ['*'], '+=': ['-='], '-=': ['+='] },
  ...{ '<': ['<=', '>='], '<=': ['<', '>'], '>': ['>=', '<='], '>=': ['>', '<'] },
  ...{ '===': ['!=='], '!==': ['==='], '&&': ['||'], '||': ['&&'], '??=': ['='] },
}

/** Methods that give what they are called on, in another order or without something. */
const STEPS = new Set(['filter', 'slice', 'sort', 'toSorted', 'reverse', 'toReversed', 'trim', 'replace', 'replaceAll'])

/** The same of statements in SQL, which stand in texts. */
const SQL = /\b(SELECT|INSERT|UPDATE|DELETE|WHERE|VALUES)\b|[=<>] \?/
const SQL_OPERATORS: Readonly<Record<string, readonly string[]>> = {
  ...{ ' = ': [' <> '], ' <> ': [' = '], ' + ': [' - '], ' - ': [' + '], ' AND ': [' OR '], ' OR ': [' AND '] },
  ...{ ' < ': [' <= ', ' >= '], ' <= ': [' < ', ' > '], ' > ': [' >= ', ' <= '], ' >= ': [' > ', ' < '] },
}

function visit(node: Node, add: Add): void {
  if (is.isTypeNode(node) || is.isImportDeclaration(node) || is.isInterfaceDeclaration(node)) return
  const start = node.getStart()
  const replace = (instead: string) => add({ start, end: node.end, instead })
  const by = (expression: Expression) => replace(`(${expression.getText()})`)
  const always = (condition: Expression, ...values: string[]) => {
    for (const instead of values) add({ start: condition.getStart(), end: condition.end, instead })
  }

  if (is.isBinaryExpression(node)) {
    const { left, operatorToken, right } = node
    const operator = operatorToken.getText()
    for (const instead of OPERATORS[operator] ?? []) {
      add({ start: operatorToken.getStart(), end: operatorToken.end, instead })
    }
    if (['&&', '||', '??'].includes(operator)) {
      by(left)
      by(right)
    }
  }
  if (is.isPrefixUnaryExpression(node)) by(node.operand)
  if (is.isConditionalExpression(node)) always(node.condition, 'true', 'false')
  if (is.isIfStatement(node)) always(node.expression, 'true', 'false')
  if (is.isWhileStatement(node)) always(node.expression, 'false')
  if (is.isNumericLiteral(node)) replace(`${Number(node.getText().replaceAll('_', '')) + 1}`)
  if (is.isBigIntLiteral(node)) replace(`${BigInt(node.getText().slice(0, -1).replaceAll('_', '')) + 1n}n`)
  if (node.kind === SyntaxKind.TrueKeyword) replace('false')
  if (node.kind === SyntaxKind.FalseKeyword) replace('true')
  if (is.isExpressionStatement(node) || is.isThrowStatement(node) || is.isContinueStatement(node)) replace(';')
  if (is.isAwaitExpression(node)) by(node.expression)
  if (is.isCallExpression(node)) {
    const { expression, arguments: given } = node
    const name = expression.getText()
    // Others than the last would be missed by the compiler alone.
    for (const left of name.startsWith('Math.') ? given.keys() : given.length > 0 ? [given.length - 1] : []) {
      const others = given.filter((_, index) => index !== left)
      replace(`${name}(${others.map(one => one.getText()).join(', ')})`)
    }
    if (is.isPropertyAccessExpression(expression) && STEPS.has(expression.name.getText())) by(expression.expression)
  }
  if (is.isStringLiteralLikeNode(node) || is.isTemplateLiteralLikeNode(node)) inSql(node, add)
  node.forEachChild(child => visit(child, add))
}

function inSql(node: Node, add: Add): void {
  const text = node.getText()
  if (!SQL.test(text)) return
  for (const [operator, others] of Object.entries(SQL_OPERATORS)) {
    for (let at = text.indexOf(operator); at >= 0; at = text.indexOf(operator, at + 1)) {
      const start = node.getStart() + at
      for (const instead of others) add({ start, end: start + operator.length, instead })
    }
  }
}
